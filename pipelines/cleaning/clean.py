"""What a storage need not keep, as a plan; and the plan carried out, a run at a time."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby

from pipelines.cleaning.found_runs import State, find_runs, state_now
from pipelines.cleaning.leftovers import leftovers
from pipelines.cleaning.listing import Listing, within
from pipelines.cleaning.names_of_others import named_files
from pipelines.cleaning.old_runs import Kept, checkpoints_to_go, runs_to_go, unlisted_checkpoints
from pipelines.cleaning.waste import Kind, Waste, is_as_planned
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import of_one_file
from pipelines.runs.checkpoints import CheckpointStore
from pipelines.runs.run_folder import CONFIG_FILE, RUN_FILE
from pipelines.tracking.journal import JOURNAL
from pipelines.tracking.local_copy import PIECES

OF_A_RUN = {RUN_FILE, CONFIG_FILE, JOURNAL, PIECES}  # by which a run is found, and how it ended


@dataclass(frozen=True)
class Plan:
    """What would go from a storage.

    Attributes:
        root: the storage.
        waste: what goes.
        notes: what stays although it might have gone, a sentence each.
        idle_seconds: after which a run without an end counts as dead.
    """

    root: Location
    waste: list[Waste]
    notes: list[str]
    idle_seconds: float


def plan_cleaning(place: str, *, failed: bool, unfinished: bool, idle_seconds: float) -> Plan:
    """What need not be kept below a folder; nothing is written.

    Args:
        place: the storage of runs, or the folder of one run.
        failed: whether runs that failed go.
        unfinished: whether runs that were stopped or never ended go, and folders that were begun.
        idle_seconds: that a run without an end, and a file that no run tells of, must be old.

    Raises:
        UserError: where there is no folder.
        OSError: for a storage that refuses.
    """
    listing, kept = Listing(Location.of(place)), Kept()
    kept.notes += [f"{folder} stays: it cannot be read ({why})" for folder, why in listing.unread.items()]
    runs = find_runs(listing, idle_seconds)
    named = named_files(runs, listing)
    whole = list(runs_to_go(runs, listing, named, failed=failed, unfinished=unfinished, kept=kept))
    gone = {one.path for one in whole}
    old = list(checkpoints_to_go(runs, listing, named, gone, kept))
    unlisted = [
        one
        for run in runs
        if run.is_at_rest and not within(run.folder, gone)
        for one in unlisted_checkpoints(listing, run, named, time.time() - idle_seconds)
    ]
    rest = list(leftovers(listing, runs, gone, idle_seconds, unfinished=unfinished, kept=kept))
    return Plan(listing.root, [*whole, *old, *unlisted, *rest], kept.notes, idle_seconds)


def carry_out(plan: Plan) -> tuple[list[Waste], list[str]]:
    """Delete what is planned; a run that has begun to work since then keeps all of its own, and what has changed stays.

    Returns:
        What was deleted, and a sentence for each run, file or folder that was left alone.

    Raises:
        OSError: for a storage that refuses; what was deleted until then is gone.
    """
    deleted, left = list[Waste](), list[str]()
    for run, waste in groupby(sorted(plan.waste, key=lambda one: one.run or ""), key=lambda one: one.run):
        mine = list(waste)
        try:
            state = None if run is None else state_now(plan.root / run, plan.idle_seconds)
        except UserError:  # of no folder
            left.append(f"{run or 'the run'} has gone already")
            continue
        if state is State.AT_WORK:
            left.append(f"{run or 'the run'} stays: it has begun to work")
            continue
        deleted += _delete(plan.root, run, mine, left)
    return deleted, left


def _delete(root: Location, run: str | None, waste: Iterable[Waste], left: list[str]) -> list[Waste]:
    """Delete what is of one run, or of none, and is as it was; the index of its checkpoints is rewritten before they go."""
    deleted, old = list[Waste](), dict[str, Waste]()
    for one in waste:
        place = root / one.path
        as_planned = is_as_planned(one, root)
        if not as_planned:
            left.append(f"{one.path or 'the run'} {'has gone already' if as_planned is None else 'stays: it has changed'}")
            continue
        if one.kind is Kind.CHECKPOINT:
            old[place.name] = one
            continue
        with _unless_refused(one.path, left):
            with suppress(FileNotFoundError):  # somebody else deletes it too
                _delete_whole(place, OF_A_RUN if one.kind is Kind.RUN else frozenset())
            deleted.append(one)
    if old and run is not None:
        store = CheckpointStore(root / run / "checkpoints")
        with _unless_refused(f"{run}/checkpoints".lstrip("/"), left):
            ends = {entry.file for entry in (store.best(), store.latest()) if entry}
            store.keep_only({entry.file for entry in store.entries()} - (old.keys() - ends))
            deleted += [one for name, one in old.items() if name not in ends]
    return deleted


def _delete_whole(place: Location, last: Collection[str]) -> None:
    """Delete a file, or a folder of which some files go last: where the rest is refused, or interrupted, they say what it is."""
    if not place.is_dir():
        return place.delete_file()
    for name in place.children() if last else []:
        if name not in last:
            _delete_whole(place / name, ())
    place.delete_folder()


@contextmanager
def _unless_refused(path: str, left: list[str]) -> Iterator[None]:
    """What a disk does not let go stays, and the rest goes; a storage that is away would refuse that too."""
    try:
        with of_one_file():
            yield
    except UserError as error:
        left.append(f"{path or 'the run'} stays: {error}")
