"""What a storage need not keep, as a plan; and the plan carried out, a run at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from pipelines.cleaning.found_runs import State, find_runs, state_of
from pipelines.cleaning.leftovers import leftovers
from pipelines.cleaning.listing import Listing
from pipelines.cleaning.old_runs import Kept, checkpoints_to_go, runs_to_go, unlisted_checkpoints
from pipelines.cleaning.waste import Kind, Waste, within
from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore


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
    runs = find_runs(listing, idle_seconds)
    whole = list(runs_to_go(runs, listing, failed=failed, unfinished=unfinished, kept=kept))
    gone = [one.path for one in whole]
    old = list(checkpoints_to_go(runs, listing, gone, kept))
    at_rest = [run for run in runs if run.state is not State.AT_WORK and not within(run.folder, gone)]
    unlisted = [one for run in at_rest for one in unlisted_checkpoints(listing, run)]
    rest = list(leftovers(listing, runs, gone, idle_seconds, unfinished=unfinished, kept=kept))
    return Plan(listing.root, [*whole, *old, *unlisted, *rest], kept.notes, idle_seconds)


def carry_out(plan: Plan) -> tuple[list[Waste], list[str]]:
    """Delete what is planned; a run that has begun to work since then keeps all of its own.

    Returns:
        What was deleted, and a sentence for each run that was left alone.

    Raises:
        OSError: for a storage that refuses; what was deleted until then is gone.
    """
    deleted, left = list[Waste](), list[str]()
    for run, waste in groupby(sorted(plan.waste, key=lambda one: one.run or ""), key=lambda one: one.run):
        mine = list(waste)
        if run is not None and _state_now(plan, run) is State.AT_WORK:
            left.append(f"{run or 'the run'} stays: it has begun to work")
            continue
        _delete(plan.root, run, mine)
        deleted += mine
    return deleted, left


def _state_now(plan: Plan, run: str) -> State:
    return state_of(Listing(_place(plan.root, run)), "", plan.idle_seconds)


def _delete(root: Location, run: str | None, waste: Iterable[Waste]) -> None:
    """Delete what is of one run, or of none; the index of its checkpoints is rewritten before they go."""
    old = set[str]()
    for one in waste:
        place = _place(root, one.path)
        if one.kind is Kind.CHECKPOINT:
            old.add(place.name)
        elif one.is_folder:
            place.delete_folder()
        else:
            place.delete_file()
    if old and run is not None:
        store = CheckpointStore(_place(root, run) / "checkpoints")
        store.keep_only({entry.file for entry in store.entries()} - old)


def _place(root: Location, path: str) -> Location:
    return root / path if path else root
