"""The runs below a storage folder: how each ended, whether it may be at work, and what it names of others."""

from __future__ import annotations

import os
import posixpath
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from pipelines.cleaning.listing import Listing
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import CONFIG_FILE, RUN_FILE, SWEEP_FILE, Run
from pipelines.tracking.journal import entries_of, is_held
from pipelines.tracking.local_copy import local_folder, stored_journal

READERS = 16  # threads
NAMING = ("init_from", "start_from", "run")  # keys of a configuration that name another run, or a checkpoint of it


class State(StrEnum):
    """How a run is."""

    AT_WORK = "may be at work"
    FINISHED = "ended well"
    FAILED = "failed"
    STOPPED = "was stopped"
    CUT_OFF = "never ended"
    DAMAGED = "cannot be read"


ENDED = {"FINISHED": State.FINISHED, "FAILED": State.FAILED, "KILLED": State.STOPPED}


@dataclass(frozen=True)
class FoundRun:
    """A run of a storage.

    Attributes:
        folder: its path below the storage.
        run: as it was opened; `None` for one that cannot be read.
        state: how it is.
        config: plain values, as they are stored.
        named: places of other runs or of their checkpoints that its configuration names.
        models: checkpoints that its journal has a model of.
        is_trial: whether it belongs to a sweep.
    """

    folder: str
    run: Run | None
    state: State
    config: dict[str, Any]
    named: tuple[str, ...]
    models: frozenset[str]
    is_trial: bool


def find_runs(listing: Listing, idle_seconds: float) -> list[FoundRun]:
    """All runs below the storage, in the order of their paths.

    Args:
        listing: of the storage.
        idle_seconds: after which a run without an end, whose files did not change meanwhile, counts as cut off.
    """
    sweeps = set(listing.folders_with(SWEEP_FILE))
    outside = (listing.root.parent / SWEEP_FILE).exists()  # a trial alone is looked at
    busy = {sweep for sweep in sweeps if _sweep_at_work(listing, sweep, idle_seconds)}

    def find(folder: str) -> FoundRun:
        above = posixpath.dirname(folder)
        is_trial = above in sweeps if folder else outside
        return _found(listing, folder, idle_seconds, is_trial=is_trial, busy=bool(folder) and above in busy)

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(find, listing.folders_with(RUN_FILE)))


def state_of(listing: Listing, folder: str, idle_seconds: float) -> State:
    """How a run is now, by its journal, whoever holds that, and the last change of its files."""
    place = listing.place(folder)
    return _state(entries_of(stored_journal(place)), place, _changed(listing, folder), idle_seconds)


def file_of(place: str, folder: Location) -> str | None:
    """What a place names of a run's folder: a checkpoint's file, or nothing of its own; `None` where it names another."""
    try:
        named = Location.of(place)
    except UserError:
        return None
    if not named.lies_in(folder):
        return None
    mine, other = (os.path.realpath(one.path) if one.is_local else one.path.strip("/") for one in (folder, named))
    return other[len(mine) :].strip("/").removeprefix("checkpoints").strip("/")


def _found(listing: Listing, folder: str, idle_seconds: float, *, is_trial: bool, busy: bool) -> FoundRun:
    place = listing.place(folder)
    try:
        run = Run.open(str(place))
        config = yaml.safe_load((place / CONFIG_FILE).read_bytes())
        entries = entries_of(stored_journal(place))
    except (UserError, FileNotFoundError, yaml.YAMLError):
        return FoundRun(folder, None, State.DAMAGED, {}, (), frozenset(), is_trial)
    config = config if isinstance(config, dict) else {}
    named = tuple(config[key] for key in NAMING if isinstance(config.get(key), str))
    models = frozenset(entry["checkpoint"] for entry in entries if entry.get("kind") == "model")
    state = State.AT_WORK if busy else _state(entries, place, _changed(listing, folder), idle_seconds)
    return FoundRun(folder, run, state, config, named, models, is_trial)


def _state(entries: list[dict[str, Any]], place: Location, changed: float, idle_seconds: float) -> State:
    if is_held(local_folder(place)):
        return State.AT_WORK
    told = [entry["status"] for entry in entries if entry.get("kind") == "status"]
    if told and (ended := ENDED.get(told[-1])):
        return ended
    return State.AT_WORK if time.time() - changed < idle_seconds else State.CUT_OFF


def _sweep_at_work(listing: Listing, folder: str, idle_seconds: float) -> bool:
    """Whether a sweep may go on with its trials; of a remote one the journal is where it was started."""
    state = state_of(listing, folder, idle_seconds)
    return state is State.AT_WORK


def _changed(listing: Listing, folder: str) -> float:
    """When a file of the folder last changed; of a remote run also one of its local folder, where that is here."""
    place = listing.place(folder)
    here = [] if place.is_local else [file for file in Path(local_folder(place)).glob("*") if file.is_file()]
    times = [file.changed for file in listing.below(folder)] + [file.stat().st_mtime for file in here]
    return max(times, default=0.0)
