"""Runs that came to nothing, and checkpoints that a run no longer needs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from pipelines.cleaning.found_runs import FoundRun, State, file_of
from pipelines.cleaning.listing import Listing
from pipelines.cleaning.waste import Kind, Waste, of_file, of_folder, within
from pipelines.errors import UserError
from pipelines.runs.checkpoints import INDEX
from pipelines.runs.run_folder import CONFIG_FILE, RUN_FILE, Run, with_secret
from pipelines.secrets import hidden
from pipelines.tracking.about.model_entry import modelled_checkpoints
from pipelines.tracking.mlflow_store import asking
from pipelines.tracking.stores.addresses import sqlite_file

NAME = re.compile(r"step-\d{9}(-\d+)?\.pt")  # of a checkpoint
OF_A_RUN = {  # names in its folder that it gives itself; another is a file of the user's, which keeps the run
    RUN_FILE, CONFIG_FILE, "labels.json", "initial.safetensors", "checkpoints", "journal", "journal.jsonl", "journal.sent",
    "journal.partial", "pictures", "models", "ray", "evaluation", "images", "working-copy", "start.parquet", "labels",
    "centers.parquet", "sizes.parquet", "report.json",
}  # fmt: skip
WISHED_BY = {State.FAILED: "--failed", State.STOPPED: "--unfinished", State.CUT_OFF: "--unfinished"}


@dataclass
class Kept:
    """What stays although it might have gone, a sentence each; and stores of MLflow that do not answer."""

    notes: list[str] = field(default_factory=list)
    away: set[str] = field(default_factory=set)

    def note(self, run: FoundRun, why: str) -> None:
        """Say why a run stays."""
        self.notes.append(f"{run.folder or 'the run'} stays: {why}")


def named_files(runs: Sequence[FoundRun], listing: Listing) -> dict[str, set[str]]:
    """What configurations name of runs, by the path of the run: files of checkpoints, and "" for the run as a whole."""
    named: dict[str, set[str]] = defaultdict(set)
    for place in {place for run in runs for place in run.named}:
        for run in runs:
            file = file_of(place, listing.place(run.folder))
            if file is not None:
                named[run.folder].add(file)
    return named


def runs_to_go(
    runs: Sequence[FoundRun], listing: Listing, *, failed: bool, unfinished: bool, kept: Kept
) -> Iterator[Waste]:  # fmt: skip
    """Runs without a result, where that is wished; never one that may be at work, or that another names."""
    wished = {State.FAILED: failed, State.STOPPED: unfinished, State.CUT_OFF: unfinished}
    named = named_files(runs, listing)
    for run in runs:
        if run.state not in wished:
            if run.state is not State.FINISHED:
                kept.note(run, f"it {run.state}")
            continue
        strange = listing.children(run.folder) - OF_A_RUN
        inner = [other for other in runs if other is not run and within(other.folder, [run.folder])]
        if run.is_trial:
            kept.note(run, f"it {run.state}, and is a trial that its sweep counts")
        elif named.get(run.folder):
            kept.note(run, f"it {run.state}, and another run starts from it")
        elif inner:
            kept.note(run, f"it {run.state}, and another run lies in it ({inner[0].folder})")
        elif strange:
            kept.note(run, f"it {run.state}, and holds what is not of a run: {', '.join(sorted(strange))}")
        elif not wished[run.state]:
            kept.note(run, f"it {run.state}; {WISHED_BY[run.state]} lets such runs go")
        else:
            yield of_folder(Kind.RUN, listing, run.folder, f"it {run.state}", run.folder)


def checkpoints_to_go(runs: Sequence[FoundRun], listing: Listing, gone: Collection[str], kept: Kept) -> Iterator[Waste]:
    """Checkpoints that are neither the best nor the last of their run, nor named by another run or a model."""
    named = named_files(runs, listing)
    for run in runs:
        if run.run is None or run.state is State.AT_WORK or within(run.folder, gone):
            continue
        store = run.run.checkpoints
        try:
            entries, ends = store.entries(), {entry.file for entry in (store.best(), store.latest()) if entry}
        except UserError as error:
            kept.note(run, str(error))
            continue
        old = [entry for entry in entries if entry.file not in ends | run.models | named.get(run.folder, set())]
        models = _models_of(run.run, kept.away) if old else set()
        if models is None:
            kept.note(run, f"MLflow at {hidden(run.run.address.uri)}, which may have models of old checkpoints, does not answer")
            continue
        for entry in old:
            if entry.file not in models:
                path = f"{run.folder}/checkpoints/{entry.file}".lstrip("/")
                yield Waste(Kind.CHECKPOINT, path, "neither the best nor the last", entry.bytes, run.folder)


def unlisted_checkpoints(listing: Listing, run: FoundRun) -> Iterator[Waste]:
    """What a write that was cut off has left of a checkpoint: a file that the index does not name."""
    folder = f"{run.folder}/checkpoints".lstrip("/")
    if run.run is None or INDEX not in listing.children(folder):
        return
    try:
        listed = {entry.file for entry in run.run.checkpoints.entries()}
    except UserError:  # which is said above
        return
    for file in listing.below(folder):
        name = file.path[len(folder) + 1 :]
        if NAME.fullmatch(name) and name not in listed:
            yield of_file(Kind.UNLISTED, file, "its index does not name it", run.folder)


def _models_of(run: Run, away: set[str]) -> set[str] | None:
    """Checkpoints that MLflow has a model of, which an alias may name; `None` where it does not say."""
    address = with_secret(run.address)
    file = sqlite_file(address.uri)
    if file is not None and not file.exists():  # with the store its models have gone
        return set()
    if address.uri in away:
        return None
    try:
        with asking(address.uri, "") as client:
            return modelled_checkpoints(client, address)
    except UserError:
        away.add(address.uri)
        return None
