"""The signals that ask a program to end.

with interruption() as stop:
    ...                 # KeyboardInterrupt
    stop.gently()
    ...                 # stop.asked
"""

import contextlib
import signal
from collections.abc import Iterator

# What ends the program as quitting does; which of them there are depends on the system.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Stop:
    """What Ctrl-C and its kind do: break off at once at first, and end after the frame at hand once it is gentle."""

    def __init__(self):
        self.asked, self._gentle = False, False

    def gently(self) -> None:
        self._gentle = True

    def __call__(self, *_) -> None:
        """As a signal handler."""
        self.asked = True
        if not self._gentle:
            raise KeyboardInterrupt


@contextlib.contextmanager
def interruption() -> Iterator[Stop]:
    """Route the signals that ask a program to end to one Stop, until the block is left."""
    stop = Stop()
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    # Started with nohup, a program is not to hear of the terminal's end.
    before = {number: signal.signal(number, stop) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
