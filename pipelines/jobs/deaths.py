"""What is said when a task of Ray refuses, or a process dies that a job cannot do without."""

from __future__ import annotations

import errno
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import ray
from ray.exceptions import RayError, RayTaskError

from pipelines.errors import Stopped, UserError
from pipelines.words import tell

KNOWN = {"TrainController": "the controller of Ray Train", "Recorder": "the recorder of the run"}
NAMED = re.compile(r"class_name: (\w+)")
# As Ray's message of many lines has it, in whatever error that is quoted.
FULL = re.compile(r"low on memory\. Memory on the node \(IP: (\S+),.*?\) was (\S+) used / (\S+) limit")

HEAD_SECONDS, CALL_SECONDS = 4.0, 1.0  # between two calls at Ray's head, and until one counts as unanswered
MISSED, LOST = 3, 9  # calls in a row that it leaves unanswered when it is told, and when it hardly comes back before Ray ends us
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH)
_watched = set[str]()  # heads that a thread of this process calls at
_last_acts: list[Callable[[], None]] = []  # of `when_head_is_lost`

RAYS_ADVICE = re.compile(r"\s+Failed to .* after \d+/\d+ attempts .*", re.DOTALL)  # that Ray Data adds to what a task raises


@contextmanager
def refusals_alone() -> Iterator[None]:
    """Within the block what a task of Ray refuses is the refusal alone, without its stack.

    Raises:
        UserError: that a task met.
    """
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(RAYS_ADVICE.sub("", str(error.cause))) from None
        raise


def cause_of(error: BaseException | str | None) -> str:
    """What an error of Ray, or its text, comes from: the last line, which is what was raised; that memory ran out, in words."""
    said = str(error or "")
    if full := _lack_of_memory(said):
        return full
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), type(error).__name__)


def _lack_of_memory(said: str) -> str:
    """The sentence for a text which tells that memory ran out; empty for another."""
    if not (found := FULL.search(said)):
        return ""
    machine, used, limit = found.groups()
    return (
        f"memory ran out on {machine} ({used} of {limit} in use, by all its programs), and Ray ended a process of the job; "
        "free some there, or ask for less: a smaller batch_size or stream.window, fewer workers on a machine"
    )


def _who_died(error: RayError) -> str:
    name = NAMED.search(str(error))
    who = KNOWN.get(name[1], name[1]) if name else f"Ray ({type(error).__name__})"
    return f"{who} died, or the machine that it was on"


@contextmanager
def deaths_in_words(go_on: str) -> Iterator[None]:
    """Within the block the death of a process, of a node or of all of Ray is one sentence, and a wish to stop says how to go on.

    Args:
        go_on: command that goes on with the job.

    Raises:
        UserError: instead of Ray's errors; what a task itself raises passes.
        Stopped: with the command.
    """
    try:
        yield
    except Stopped as stopped:
        raise Stopped(stopped.number, f"{stopped}, go on with it: {go_on}") if stopped.bare else stopped from None
    except RayError as error:
        if (what := death_in(error)) is None:
            raise
        raise UserError(f"{what}; what was saved is whole, go on with it: {go_on}") from error


def death_in(error: BaseException) -> str | None:
    """Who died, in words, where an error of Ray tells of that; `None` for any other, as of what a task itself raised."""
    if isinstance(error, RayError) and not isinstance(error, RayTaskError):
        return _lack_of_memory(str(error)) or _who_died(error)
    return None


def watch_head(address: str) -> None:
    """Tell when Ray's head does not answer, in a thread that ends with this process's Ray.

    A minute after it has gone Ray's core ends each process that has joined it, with exit code 1 and without a word. No issue
    found.

    Args:
        address: of its service (GCS), as `host:port`; one that is watched already stays so.
    """
    if address not in _watched:
        _watched.add(address)
        threading.Thread(target=_watch_head, args=(address,), daemon=True).start()


@contextmanager
def when_head_is_lost(act: Callable[[], None]) -> Iterator[None]:
    """Within the block `act` is called when a watched head has been away for so long that Ray is about to end this process.

    It is called by another thread, which no exception of it leaves. A head that comes back after all finds the job at work, whose
    end then says how it ended.
    """
    _last_acts.append(act)
    try:
        yield
    finally:
        _last_acts.remove(act)


def _watch_head(address: str) -> None:
    missed = 0
    with suppress(Exception):  # of a Ray that ends meanwhile
        while ray.is_initialized() and ray.get_runtime_context().gcs_address == address:
            missed = 0 if _answers(address) else missed + 1
            if missed == MISSED:
                _tell_of_head(address)
            if missed == LOST:
                for act in _last_acts.copy():
                    with suppress(Exception):  # it keeps no other from being called
                        act()
            time.sleep(HEAD_SECONDS)
    _watched.discard(address)


def _tell_of_head(address: str) -> None:
    tell(
        f"Ray's head at {address} does not answer: its process gcs_server died, or its machine; if it stays away, Ray ends this "
        "command within a minute and says nothing; what was saved is whole: give the command again, with --resume if it had "
        "begun a run or a sweep"
    )


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CALL_SECONDS).close()
    except OSError as error:
        return not (isinstance(error, ConnectionError | TimeoutError) or error.errno in UNREACHABLE)  # else the fault is ours
    return True
