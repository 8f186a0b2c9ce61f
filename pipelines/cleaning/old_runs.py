"""Runs that came to nothing, and checkpoints that a run no longer needs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.cleaning.found_runs import FoundRun, State
from pipelines.cleaning.listing import Listing, within
from pipelines.cleaning.names_of_others import Named
from pipelines.cleaning.own_names import CHECKPOINT, OF_A_RUN
from pipelines.cleaning.waste import Kind, Waste, of_file, of_folder
from pipelines.config.training_config import ProbeConfig
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import of_one_file
from pipelines.runs.checkpoints import INDEX
from pipelines.runs.run_folder import Run
from pipelines.secrets import hidden
from pipelines.tracking.about.model_entry import modelled_checkpoints
from pipelines.tracking.mlflow_store import asking, with_secret
from pipelines.tracking.stores.addresses import sqlite_file

MOST_SAID = 3  # names in a sentence
UNREAD = "cannot be read, was edited or is cut short; restore it"
WISHED_BY = {State.FAILED: "--failed", State.STOPPED: "--unfinished", State.CUT_OFF: "--unfinished"}


@dataclass
class Kept:
    """What stays although it might have gone, a sentence each; and stores of MLflow that do not answer."""

    notes: list[str] = field(default_factory=list)
    away: set[str] = field(default_factory=set)

    def note(self, run: FoundRun, why: str) -> None:
        """Say why a run stays."""
        self.notes.append(f"{run.folder or 'the run'} stays: {why}")


def runs_to_go(
    runs: Sequence[FoundRun], listing: Listing, named: Named, *, failed: bool, unfinished: bool, kept: Kept
) -> Iterator[Waste]:  # fmt: skip
    """Runs without a result, where that is wished; never one that may be at work, or that another names."""
    wished = {State.FAILED: failed, State.STOPPED: unfinished, State.CUT_OFF: unfinished}
    inner = _inner_runs(runs)
    for run in runs:
        if run.state in wished:
            if why := _needed(run, named, inner) or _doubt(run, listing, named):
                kept.note(run, f"it {run.state}, and {why}")
            elif not wished[run.state]:
                kept.note(run, f"it {run.state}; {WISHED_BY[run.state]} lets such runs go")
            else:
                yield of_folder(Kind.RUN, listing, run.folder, f"it {run.state}", run.folder)
        elif run.state is not State.FINISHED:
            kept.note(run, f"it {run.state}")


def _needed(run: FoundRun, named: Named, inner: dict[str, str]) -> str | None:
    """Why a run is needed by others, if it is."""
    if run.is_trial:
        return "is a trial that its sweep counts"
    if run.folder in named.files:
        return "another run starts from it"
    return f"another run lies in it ({inner[run.folder]})" if run.folder in inner else None


def _doubt(run: FoundRun, listing: Listing, named: Named) -> str | None:
    """Why a run may be worth keeping, though it says that it came to nothing."""
    if strange := listing.others(run.folder, OF_A_RUN):
        more = f" and {len(strange) - MOST_SAID} more" if len(strange) > MOST_SAID else ""
        return f"holds what is not of a run: {', '.join(strange[:MOST_SAID])}{more}"
    try:
        with of_one_file():
            newest = run.run.checkpoints.latest() if run.run else None
    except UserError as error:
        return str(error)
    length = _length(run.config or {})
    if newest is not None and (length is None or newest.epoch >= length):
        return f"its checkpoint {newest.file} is of its end"
    return f"another may start from it: the configuration of {named.unread[0]} {UNREAD}" if named.unread else None


def _length(config: dict[str, Any]) -> int | None:
    """Epochs or passes after which a run is at its end."""
    if config.get("epochs") is None and isinstance(config.get("run"), str):
        return ProbeConfig(run="", finetune=bool(config.get("finetune"))).all_epochs
    length = config.get("epochs", config.get("passes"))
    return length if isinstance(length, int) else None


def _inner_runs(runs: Sequence[FoundRun]) -> dict[str, str]:
    """A run that lies in each run, of those that others lie in."""
    folders, inner = {run.folder for run in runs}, dict[str, str]()
    for run in runs:
        path = run.folder
        while path:
            path = posixpath.dirname(path)
            if path in folders:
                inner.setdefault(path, run.folder)
    return inner


def checkpoints_to_go(
    runs: Sequence[FoundRun], listing: Listing, named: Named, gone: Collection[str], kept: Kept
) -> Iterator[Waste]:  # fmt: skip
    """Checkpoints that are neither the best nor the last of their run, nor named by another run or a model."""
    for run in runs:
        if run.run is None or not run.is_at_rest or within(run.folder, gone):
            continue
        store, folder = run.run.checkpoints, f"{run.folder}/checkpoints".lstrip("/")
        try:
            with of_one_file():
                entries, ends = store.entries(), {entry.file for entry in (store.best(), store.latest()) if entry}
        except UserError as error:
            kept.note(run, str(error))
            continue
        files = {file.path[len(folder) + 1 :]: file for file in listing.below(folder)}  # none is behind a link
        kept_files = ends | run.models | named.files.get(run.folder, set())
        old = [files[entry.file] for entry in entries if entry.file in files and entry.file not in kept_files]
        if old and named.unread:
            kept.note(run, f"another may start from its old checkpoints: the configuration of {named.unread[0]} {UNREAD}")
            continue
        models = _models_of(run.run, listing.root, kept.away) if old else set()
        if models is None:
            uri = hidden(run.run.address.uri)
            kept.note(run, f"MLflow at {uri}, which may have models of old checkpoints, is not here or does not answer")
            continue
        for file in old:
            if posixpath.basename(file.path) not in models:
                yield of_file(Kind.CHECKPOINT, file, "neither the best nor the last", run.folder)


def unlisted_checkpoints(listing: Listing, run: FoundRun, named: Named, before: float) -> Iterator[Waste]:
    """What a write that was cut off has left of a checkpoint: a file that neither the index nor another run names.

    Args:
        listing: of the storage.
        run: it lies in.
        named: what others name.
        before: time of the clock since when it has not changed; somebody may have just put it back.
    """
    folder = f"{run.folder}/checkpoints".lstrip("/")
    if run.run is None or INDEX not in listing.children(folder):
        return
    try:
        with of_one_file():
            listed = {entry.file for entry in run.run.checkpoints.entries()}
    except UserError:  # which is said above
        return
    for file in listing.below(folder):
        name = file.path[len(folder) + 1 :]
        lost = re.fullmatch(CHECKPOINT, name) and name not in {*listed, *named.files.get(run.folder, ())}
        if lost and file.changed < before:
            yield of_file(Kind.UNLISTED, file, "its index does not name it", run.folder)


def _models_of(run: Run, storage: Location, away: set[str]) -> set[str] | None:
    """Checkpoints that MLflow has a model of, which an alias may name; `None` where it does not say."""
    address = with_secret(run.address)
    file = sqlite_file(address.uri)
    if file is not None and not file.exists():
        # With a store that was here its models have gone; one of another machine, or of a disk that is not mounted, has not.
        was_here = file.parent.is_dir() or Location.of(file).lies_in(storage)
        return set() if was_here else None
    if address.uri in away:
        return None
    try:
        with asking(address.uri, "") as client:
            return modelled_checkpoints(client, address)
    except UserError:
        away.add(address.uri)
        return None
