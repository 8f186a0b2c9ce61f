"""Ray as it starts or is joined: without processes, lines and handlers of which a command has no use."""

from __future__ import annotations

import functools
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import ray

from pipelines.jobs.ray_quirks.patches import replaced, unless_given
from pipelines.jobs.stops import whole

DASHBOARD, NOWHERE = "RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9"  # port 9 discards what it gets, where anything listens at all
UNUSED_PROCESSES = ("start_api_server", "start_monitor", "start_log_monitor")  # methods of Ray's node
LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"
STDERR = 2
CONNECT_SECONDS = 20
TOKEN_BYTES = 32


def no_dashboard() -> AbstractContextManager[None]:
    """Ray's processes that start within the block do not look for a dashboard.

    Ray Train asks it once a second whether the driver lives, and where there is none searches for it: the end of a run that took
    less than the search waited 12 s for that. No issue found; the asking came with ray-project/ray#58515.
    """
    return unless_given({DASHBOARD: NOWHERE})


def few_processes() -> AbstractContextManager[None]:
    """A Ray that starts within the block has no process of which one machine has no use.

    Those of dashboard, autoscaler and log monitor go, which Ray starts whether or not they are wanted, and its agent is the small
    one that Ray takes where the packages of the dashboard are missing: together they took 5 of 7 s of a start. No issue found.
    """
    from ray._private import node, utils

    left_out = {(node.Node, name): _nothing for name in UNUSED_PROCESSES}
    return replaced(left_out | {(utils, "get_dashboard_dependency_error"): lambda: ImportError("not wanted")})


def few_words(*, alone: bool) -> AbstractContextManager[None]:
    """A Ray that this process starts or joins within the block writes no lines of its own among the command's.

    Its core writes errors to the terminal that are none, as of each pool of actors of Ray Data, whose constructors get objects;
    told a level, it tells of that. `alone` says whether no other machine is there: then the messages go too that Ray publishes,
    as the last twenty lines of a raylet that was killed, which is said in a sentence. The first is ray-project/ray#53727.
    """
    from ray._private import worker

    return replaced(
        {(worker, "connect"): functools.partial(_in_silence, worker.connect)}
        | ({(worker, "listen_error_messages"): _nothing} if alone else {})
    )


def _in_silence(connect: Callable[..., Any], *given: Any, **named: Any) -> Any:
    # A wish to stop waits for it: a process in which Ray's core is half made ends in a crash.
    if LOG_LEVEL in os.environ:
        return whole(connect, *given, **named)
    with unless_given({LOG_LEVEL: "fatal"}), _no_terminal():
        return whole(connect, *given, **named)


@contextmanager
def _no_terminal() -> Iterator[None]:
    """What is written to the process's standard error within the block, by code of any language, shows only if it fails."""
    try:
        kept = os.dup(STDERR)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), STDERR)
        try:
            yield
        except Exception:  # a wish to stop is no failure, which what was written would explain
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)


def in_groups_of_their_own() -> AbstractContextManager[None]:
    """What is sent to this process's group does not reach the processes of a Ray that starts within the block.

    `timeout` ends a group, and so do shells: a Ray that ends before its driver leaves that no way to save. On Linux they go with
    their parent, whatever their group; elsewhere Ray ends them by it. No issue found.
    """
    from ray._private import services

    if sys.platform != "linux":
        return nullcontext()
    return replaced({(services, "ConsolePopen"): functools.partial(services.ConsolePopen, process_group=0)})


def no_home_needed() -> AbstractContextManager[None]:
    """A Ray that starts within the block does without a home folder that can be written.

    It makes the token by which its processes know each other once, and keeps it in `~/.ray`; containers often run as a user
    without a home. No issue found.
    """
    from ray._private.authentication import authentication_token_setup as setup

    return replaced({(setup, "generate_and_save_token"): functools.partial(_saved_or_handed_on, setup.generate_and_save_token)})


def _saved_or_handed_on(save: Callable[[], None]) -> None:
    try:
        save()
    except OSError:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(TOKEN_BYTES)


def _nothing(*given: Any, **named: Any) -> None:
    """For what is left out."""


def knock(address: str) -> None:
    """Raise OSError where nothing listens at `host:port`, or for `auto` at the address that Ray last noted on this machine.

    Ray itself tries for minutes, and cannot be interrupted meanwhile (ray-project/ray#28372 has the first of them).
    """
    if address == "auto":
        address = ray._private.services.canonicalize_bootstrap_address(address) or ""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


@contextmanager
def sigterm_stays_ours() -> Iterator[None]:
    """A SIGTERM that comes while Ray starts, or is joined, within the block is handled as it is before and after it.

    Ray ends the process by it from the first line of its start on, without a word, and its core prints a stack trace. No issue
    found.
    """
    from ray._private import ray_constants, utils

    not_taken = {(utils, "set_sigterm_handler"): _nothing, (ray_constants, "RAY_DISABLE_FAILURE_SIGNAL_HANDLER"): True}
    with kept_handlers(signal.SIGTERM), replaced(not_taken):
        yield


@contextmanager
def kept_handlers(*numbers: signal.Signals) -> Iterator[None]:
    """Signals are handled after the block as before it.

    Ray Tune gives its handlers back only where they were used: the next Ctrl-C in a notebook would do nothing.
    """
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
