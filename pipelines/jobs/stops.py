"""A wish to stop: what Ctrl-C, `kill`, a closed terminal, Kubernetes and `ray job stop` send to a driver.

Outside the block of a job's work a wish ends the command at once. Within it, workers save at their next step first; a second
wish, or the end of the grace period, ends the work without that. What ends it is raised when no module is just being imported,
and nothing is done that is to be whole: an exception amid compiled code may abort the process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from pipelines.errors import Stopped

WISHES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STDERR = 2
HEARD = b"stopping when what is being loaded is there; once more ends at once\n"
HEARD_SECONDS = 0.5  # until it is told that a wish waits for an import
AGAIN_SECONDS = 0.05  # until a wish that came where Python ignores exceptions is sent again
IMPORTING = "<frozen importlib._bootstrap>"  # file of the frames that import
Result = TypeVar("Result")


@contextmanager
def stops_at_once() -> Iterator[None]:
    """Within the block a wish raises `Stopped`; a second one ends the process where the first waits for what is being imported.

    In a thread other than the main one, which no signal reaches, nothing changes.
    """
    wish, begun = Wish(), _imports(sys._getframe())

    def stop(number: int, frame: FrameType | None) -> None:
        again, wish.number = wish.number is not None, number
        if again and _imports(frame) > begun:
            os.write(STDERR, f"{Stopped(number)}\n".encode())
            os._exit(128 + number)
        _raise(Stopped(number), frame, begun)

    with _handled(dict.fromkeys(_heeded(), stop)), _by_its_name(wish):
        yield


class Wish:
    """The wish to stop a piece of work, once there is one.

    Attributes:
        number: of the signal that it came as.
    """

    number: int | None = None


@contextmanager
def stops_in_grace(tell: Callable[[], None], grace: float, at_once: Callable[[], bool] = lambda: False) -> Iterator[Wish]:
    """Within the block the first wish is told, and raises `Stopped` only when `grace` seconds are over or a second one comes.

    Args:
        tell: those who can save; called in a thread of its own, because a signal may interrupt anything.
        grace: seconds; with 0 a wish raises at once.
        at_once: says when a wish comes whether nothing may be saved, so that it raises.
    """
    wish, begun = Wish(), _imports(sys._getframe())

    def stop(number: int, frame: FrameType | None) -> None:
        again, wish.number = wish.number is not None, wish.number or number
        if again or not grace or at_once():
            return _raise(Stopped(wish.number), frame, begun)
        threading.Thread(target=_quietly, args=(tell,), daemon=True).start()
        signal.setitimer(signal.ITIMER_REAL, grace)
        told = f"stopping: saving at the next step, for at most {grace:g} s; once more ends at once\n"
        os.write(STDERR, told.encode())  # a print may be what the signal interrupts

    with _handled({**dict.fromkeys(_heeded(), stop), signal.SIGALRM: stop}):
        try:
            with _by_its_name(wish):
                yield wish
        finally:
            if wish.number is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)


def _quietly(tell: Callable[[], None]) -> None:
    """Where those who can save are gone, what ends the job is what is to be told."""
    with suppress(Exception):
        tell()


@contextmanager
def _by_its_name(wish: Wish) -> Iterator[None]:
    """Within the block what a wish raises passes as `Stopped`, of which Ray makes a KeyboardInterrupt where it waits itself."""
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt:
        if wish.number is None:
            raise
        raise Stopped(wish.number) from None


def _heeded() -> list[signal.Signals]:
    """Wishes that this process was not started to ignore, as `nohup` starts it for SIGHUP and a script's `&` for SIGINT."""
    return [number for number in WISHES if signal.getsignal(number) is not signal.SIG_IGN]


def whole(call: Callable[..., Result], *given: Any, **named: Any) -> Result:
    """What `call` returns: a wish that comes meanwhile waits for that, as it does for an import."""
    return call(*given, **named)


def _is_whole(frame: FrameType) -> bool:
    return frame.f_code.co_filename == IMPORTING or frame.f_code is whole.__code__


def _imports(frame: FrameType | None) -> int:
    """How many imports, and calls that are to be whole, are under way, one within the other."""
    count = 0
    while frame is not None:
        count += _is_whole(frame)
        frame = frame.f_back
    return count


def _raise(stopped: Stopped, frame: FrameType | None, begun: int) -> None:
    """Raise it, where more imports are under way than had begun before the block as they return."""
    if _imports(frame) <= begun:
        raise stopped
    told = threading.Timer(HEARD_SECONDS, os.write, (STDERR, HEARD))
    told.daemon = True
    told.start()

    def look(frame: FrameType, event: str, arg: object) -> None:
        if event == "return" and _is_whole(frame) and _imports(frame.f_back) <= begun:
            sys.setprofile(None)
            told.cancel()
            raise stopped

    sys.setprofile(look)


class _Swallowed:
    """A hook for exceptions that Python ignores, as in finalizers and at forks: there a wish is not lost, but comes again.

    Args:
        others: the hook for other exceptions.
    """

    def __init__(self, others: Callable[[Any], Any]) -> None:
        self.others = others
        self.wish: Stopped | None = None
        self._timer: threading.Timer | None = None

    def __call__(self, unraisable: Any) -> None:
        """Note the wish, and send its signal once more."""
        if not isinstance(unraisable.exc_value, Stopped):
            self.others(unraisable)
            return
        self.wish = unraisable.exc_value
        self._timer = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), self.wish.number))
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> Stopped | None:
        """Send nothing more; returns the wish that has not come again."""
        if self._timer is None or self._timer.finished.is_set():
            return None
        self._timer.cancel()
        return self.wish


@contextmanager
def _handled(handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any]]) -> Iterator[None]:
    """The handlers within the block, and those of before after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    hook = sys.unraisablehook
    sys.unraisablehook = swallowed = _Swallowed(hook)
    try:
        yield
    finally:
        left = swallowed.end()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    if left is not None:
        raise left
