"""The runs below a storage folder: how each ended, and whether it may be at work."""

from __future__ import annotations

import os
import posixpath
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

from pipelines.cleaning.listing import Listing
from pipelines.config.recipe import is_as_stored
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import is_seen_at_work
from pipelines.files.storage_errors import of_one_file
from pipelines.runs.checkpoints import INDEX
from pipelines.runs.run_folder import CONFIG_FILE, RUN_FILE, SWEEP_FILE, Run
from pipelines.tracking.journal import JOURNAL, damaged_lines, entries_of, is_held, newest_status
from pipelines.tracking.local_copy import PIECES, local_folder, stored_journal

READERS = 16  # threads
COPY_SECONDS = 60.0  # that files may be newer than the copy of a remote run's journal, of a run that has ended
AFTERWARDS = {"evaluation", "quality", "curation", "probes"}  # folders below a run that are written when it has ended


class State(StrEnum):
    """How a run is."""

    AT_WORK = "may be at work"
    FINISHED = "ended well"
    FAILED = "failed"
    STOPPED = "was stopped"
    CUT_OFF = "never ended"
    DAMAGED = "cannot be read"
    UNKNOWN = "does not say for certain how it ended"


ENDED = {"FINISHED": State.FINISHED, "FAILED": State.FAILED, "KILLED": State.STOPPED}


@dataclass(frozen=True)
class FoundRun:
    """A run of a storage.

    Attributes:
        folder: its path below the storage.
        run: as it was opened; `None` for one that cannot be read.
        state: how it is.
        config: plain values, as they are stored; `None` where they cannot be read.
        models: checkpoints that its journal has a model of.
        is_trial: whether it belongs to a sweep.
    """

    folder: str
    run: Run | None
    state: State
    config: dict[str, Any] | None
    models: frozenset[str]
    is_trial: bool

    @property
    def is_at_rest(self) -> bool:
        """Whether it is known what it is, and that nobody is at it."""
        return self.run is not None and self.state not in (State.AT_WORK, State.DAMAGED, State.UNKNOWN)


def find_runs(listing: Listing, idle_seconds: float) -> list[FoundRun]:
    """All runs below the storage, in the order of their paths.

    Args:
        listing: of the storage.
        idle_seconds: after which a run without an end, whose files did not change meanwhile, counts as cut off.
    """
    sweeps = set(listing.folders_with(SWEEP_FILE))
    busy = {sweep for sweep in sweeps if state_of(listing, sweep, idle_seconds) is State.AT_WORK}
    outside = (listing.root.parent / SWEEP_FILE).exists()  # a trial alone is looked at
    held = outside and state_now(listing.root.parent, idle_seconds) is State.AT_WORK

    def find(folder: str) -> FoundRun:
        above = posixpath.dirname(folder)
        is_trial, at_work = (above in sweeps, above in busy) if folder else (outside, held)
        return _found(listing, folder, idle_seconds, is_trial=is_trial, busy=at_work)

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(find, listing.folders_with(RUN_FILE)))


def state_of(listing: Listing, folder: str, idle_seconds: float) -> State:
    """How a run or a sweep is, by its journal, whoever holds that, and the last change of its files."""
    return _state(listing.place(folder), lambda: listing.times(folder), idle_seconds)


def state_now(place: Location, idle_seconds: float) -> State:
    """How a run or a sweep is at this moment; a trial is at work while its sweep is.

    Raises:
        UserError: where there is no folder.
    """
    state = _state(place, lambda: Listing(place).times(""), idle_seconds)
    if state is not State.AT_WORK and (place.parent / SWEEP_FILE).exists():
        above = _state(place.parent, lambda: Listing(place.parent).times(""), idle_seconds)
        return above if above is State.AT_WORK else state
    return state


def read_config(folder: Location, name: str = CONFIG_FILE) -> dict[str, Any] | None:
    """Plain values of a configuration in a folder; `None` where it cannot be read, or is not whole."""
    config = None
    with suppress(UserError, yaml.YAMLError, ValueError, RecursionError), of_one_file():  # such as of no date: 2026-13-01
        content = (folder / name).read_bytes()
        config = yaml.safe_load(content) if is_as_stored(content) else None
    return config if isinstance(config, dict) else None


def _found(listing: Listing, folder: str, idle_seconds: float, *, is_trial: bool, busy: bool) -> FoundRun:
    place = listing.place(folder)
    config, run, entries = read_config(place), None, list[dict[str, Any]]()
    with suppress(UserError), of_one_file():
        entries = entries_of(stored_journal(place))
        run = Run.open(str(place)) if config is not None else None
    models = frozenset(entry["checkpoint"] for entry in entries if entry.get("kind") == "model")
    state = State.DAMAGED if run is None else state_of(listing, folder, idle_seconds)
    return FoundRun(folder, run, State.AT_WORK if busy else state, config, models, is_trial)


def _state(place: Location, times: Callable[[], dict[str, float]], idle_seconds: float) -> State:
    if is_held(local_folder(place)) or (place.is_local and is_seen_at_work(place)):
        return State.AT_WORK
    journal = b""
    with suppress(UserError), of_one_file():  # one that has just gone, or that is not for this user, says nothing
        journal = stored_journal(place)
    told = newest_status(entries_of(journal))
    state = ENDED.get(told, State.CUT_OFF) if told else State.UNKNOWN
    if state in ENDED.values() and place.is_local:
        at_work = False
    else:
        changed = times()
        young = time.time() - _last_change(place, changed) < idle_seconds
        at_work = young and (state not in ENDED.values() or _went_on(changed))
    if at_work:
        return State.AT_WORK
    return State.UNKNOWN if state is not State.FINISHED and damaged_lines(journal) else state


def _went_on(times: dict[str, float]) -> bool:
    """Whether files of a remote run are newer than the copy of its journal: that may be behind, and the run gone on with."""
    copied = max((when for path, when in times.items() if path.partition("/")[0] in (PIECES, JOURNAL)), default=0.0)
    return any(
        when > copied + COPY_SECONDS
        for path, when in times.items()
        if AFTERWARDS.isdisjoint(path.split("/")) and posixpath.basename(path) != INDEX  # which cleaning writes too
    )


def _last_change(place: Location, times: dict[str, float]) -> float:
    """When a file of a run last changed; of a remote run also one of its local folder, where that is here."""
    last = max(times.values(), default=0.0)
    folder = local_folder(place)
    for name in [] if place.is_local or not folder.is_dir() else os.listdir(folder):
        with suppress(FileNotFoundError):  # it may be one that is just replaced
            status = (folder / name).stat()
            last = max(last, status.st_mtime if stat.S_ISREG(status.st_mode) else 0.0)
    return last
