"""A call that is waited for only so long: for what asks a disk, a network, or the system's own services."""

import threading
from collections.abc import Callable


class Call:
    """`function(*args)` in a thread of its own, begun at once, which does not keep the program from ending."""

    def __init__(self, function: Callable, *args):
        self._function, self._args = function, args
        self._value, self._error = None, None
        self._over = threading.Event()
        try:
            threading.Thread(target=self._run, daemon=True).start()
        except RuntimeError:  # there is no thread to be had: better without a limit than not at all
            self._run()

    def wait(self, limit_s: float) -> bool:
        """Whether it is over within that time, however it ended."""
        return self._over.wait(limit_s)

    def result(self, limit_s: float | None = None):
        """What the call returned; raises what it raised, or TimeoutError. May be asked again after that."""
        if not self._over.wait(limit_s):
            raise TimeoutError(f"no answer in {limit_s:g} s")
        if self._error:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._function(*self._args)
        except BaseException as error:  # whatever it is, it belongs to whoever asks for the result
            self._error = error
        self._over.set()
