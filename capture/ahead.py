"""Work on several frames at once: OpenCV lets go of Python's lock, so its threads really run at the same time.

with Ahead(decode(video), depth=2) as frames:       # decodes the next frames while this one is judged
    for frame in frames: ...
for crop in spread(find_and_cut, frames, workers=4): ...    # finds and cuts in four threads
"""

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ahead(Generic[Item]):
    """An iterator over the same items in the same order, up to ``depth`` of them made before they are asked for.

    at_first: so many instead, until the first are taken: for whoever asks late, but is quicker then.
    What ``items`` raises is raised here, in its turn. close() waits for the item in the making and ends the thread;
    it may be called from any thread, at any time, more than once, and after it there are no more items.
    """

    def __init__(self, items: Iterator[Item], depth: int, at_first: int = 0):
        self._items = items
        self._made: queue.SimpleQueue = queue.SimpleQueue()
        self._surplus = max(0, at_first - depth)
        self._room = threading.Semaphore(depth + self._surplus)
        self._ended = False
        self._thread = threading.Thread(target=self._make, name="ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> "Ahead[Item]":
        return self

    def __next__(self) -> Item:
        kind, item = self._made.get()
        if kind == "item":
            if self._surplus:
                self._surplus -= 1
            else:
                self._room.release()
            return item
        self._made.put(("end", None))  # for whoever asks again
        if kind == "error":
            raise item
        raise StopIteration

    def close(self) -> None:
        self._ended = True
        self._room.release()
        self._thread.join()
        with contextlib.suppress(queue.Empty):
            while True:
                self._made.get_nowait()
        self._made.put(("end", None))

    def __enter__(self) -> "Ahead[Item]":
        return self

    def __exit__(self, *_):
        self.close()

    def _make(self) -> None:
        try:
            while self._room.acquire() and not self._ended:
                self._made.put(("item", next(self._items)))
            self._made.put(("end", None))
        except StopIteration:
            self._made.put(("end", None))
        # The thread's outermost edge: whatever it is, it belongs to whoever waits for the item.
        except BaseException as error:
            self._made.put(("error", error))


def spread(call: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The results of a call for each item, in their order, worked out by so many threads at once.

    No more items are taken than the threads can have in hand. What a call raises is raised here, in its turn; the
    calls that have begun are finished first.
    """
    from concurrent.futures import ThreadPoolExecutor  # the authenticator does without

    begun: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            begun.append(pool.submit(call, item))
            if len(begun) > workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
