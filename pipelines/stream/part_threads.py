"""Parts of a work in threads of this process, which leave a part in its middle when nobody waits for it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

Part = TypeVar("Part")
Item = TypeVar("Item")
_this_thread = threading.local()


class PartThreads(Generic[Part, Item]):
    """Threads that carry out parts, each with one of torch's own, as a task of Ray's has.

    Args:
        task: called with each part, yields its items.
        count: of the threads.
    """

    def __init__(self, task: Callable[[Part], Iterable[Item]], count: int) -> None:
        self._task, self.count = task, count
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(count, initializer=_begin, initargs=(self._stopped,))

    def begin(self, part: Part) -> Future[list[Item]]:
        """Hand out a part."""
        return self._pool.submit(lambda: list(copy.copy(self._task)(part)))  # a copy each, as tasks of Ray's have

    def results(self, begun: Future[list[Item]]) -> Iterator[Item]:
        """What it yields, when it is over."""
        yield from begun.result()

    def stop(self, begun: Future[list[Item]]) -> None:
        """Nobody waits for it, nor for those after it."""
        self._stopped.set()
        begun.cancel()

    def close(self) -> None:
        """No more parts come; returns when the threads have ended."""
        self._pool.shutdown()
        torch.set_num_threads(torch.get_num_threads())  # what one thread has set others begin with


def _begin(stopped: threading.Event) -> None:
    torch.set_num_threads(1)
    _this_thread.stopped = stopped


def while_wanted(items: Iterable[Item]) -> Iterator[Item]:
    """The items of a part, unless nobody waits for it any more: a thread is not stopped from outside, as a task of Ray's is.

    Raises:
        CancelledError: when nobody does.
    """
    stopped = getattr(_this_thread, "stopped", None)
    for item in items:
        if stopped is not None and stopped.is_set():
            raise CancelledError
        yield item
