"""What work that was killed has left: copies, exchanged rows, begun folders, files that were being written, folders of Ray."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Collection, Iterator, Sequence

from pipelines.cleaning.found_runs import FoundRun, State, state_of
from pipelines.cleaning.listing import Listing
from pipelines.cleaning.old_runs import Kept
from pipelines.cleaning.waste import Kind, Waste, of_file, of_folder, within
from pipelines.curation.begun_folder import BEGUN, BEGUN_FORMAT
from pipelines.curation.duplicates.find import EXCHANGE, PAIRS, REPORT
from pipelines.curation.duplicates.sorting_out import KEPT, REMOVED
from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST
from pipelines.doctor.places import PROBE
from pipelines.errors import UserError
from pipelines.files.documents import read_document
from pipelines.files.location import CUT_OFF
from pipelines.runs.run_folder import SWEEP_FILE
from pipelines.working_copy.copy_plan import COPY

OF_RAY_TRAIN, OF_RAY_TUNE = re.compile(r"train-\d+"), re.compile(r"tune-\d+")  # folders by the time that they were made at
DOCTORS = re.compile(rf"{re.escape(PROBE)}-[0-9a-f]{{12}}.*")
EXCHANGED = re.compile(r"part-\d{8}\.arrows")
OF_DEDUP = {EXCHANGE, KEPT, REMOVED, REPORT, PAIRS}


def leftovers(
    listing: Listing, runs: Sequence[FoundRun], gone: Collection[str], idle_seconds: float, *, unfinished: bool, kept: Kept
) -> Iterator[Waste]:
    """What may go without that a run, or a folder that is begun, loses anything that it cannot make again.

    Args:
        listing: of the storage.
        runs: that lie there.
        gone: paths of runs that go as a whole.
        idle_seconds: that files must be old which no run tells of.
        unfinished: whether unfinished work may go.
        kept: is told what stays.
    """
    for run in runs:
        if not within(run.folder, gone):
            yield from _of_run(listing, run, unfinished=unfinished, kept=kept)
    for sweep in listing.folders_with(SWEEP_FILE):
        if state_of(listing, sweep, idle_seconds) is not State.AT_WORK:
            for name in sorted(filter(OF_RAY_TUNE.fullmatch, listing.children(sweep))):
                yield of_folder(Kind.RAY, listing, posixpath.join(sweep, name), "its sweep does not need it again")
    busy = [run.folder for run in runs if run.state in (State.AT_WORK, State.DAMAGED)]
    before = time.time() - idle_seconds
    yield from _of_dedup(listing, before)
    yield from _begun(listing, before, unfinished=unfinished, kept=kept)
    for file in listing.files:
        name = posixpath.basename(file.path)
        if file.changed < before and not within(file.path, [*busy, *gone]):
            if listing.root.is_local and CUT_OFF.fullmatch(name):
                yield of_file(Kind.CUT_OFF, file, "whoever wrote it was killed")
            elif DOCTORS.fullmatch(name):
                yield of_file(Kind.PROBE, file, "quorum doctor wrote it to try the storage")


def _of_run(listing: Listing, run: FoundRun, *, unfinished: bool, kept: Kept) -> Iterator[Waste]:
    """A clustering's working copy, and of a run that ended well what Ray Train noted."""
    if run.run is None or run.state is State.AT_WORK:
        return
    copy, done = posixpath.join(run.folder, COPY), run.state is State.FINISHED
    if run.run.kind == "cluster" and EMBEDDINGS_MANIFEST in listing.children(copy):
        if done and not run.config.get("keep_copy"):
            yield of_folder(Kind.COPY, listing, copy, "the labels are written", run.folder)
        elif not done and unfinished:
            yield of_folder(Kind.COPY, listing, copy, "--resume writes it again", run.folder)
        else:
            kept.note(run, "its working copy is wished" if done else f"it {run.state}; --unfinished lets its working copy go")
    ray = posixpath.join(run.folder, "ray")
    for name in sorted(filter(OF_RAY_TRAIN.fullmatch, listing.children(ray))) if done else ():
        yield of_folder(Kind.RAY, listing, posixpath.join(ray, name), "its run ended well", run.folder)


def _of_dedup(listing: Listing, before: float) -> Iterator[Waste]:
    """Rows that a dedup which was killed had exchanged."""
    folders = {posixpath.dirname(file.path) for file in listing.files if f"/{EXCHANGE}/" in f"/{file.path}"}
    for folder in sorted(one for one in folders if posixpath.basename(one) == EXCHANGE):
        files, beside = listing.below(folder), listing.children(posixpath.dirname(folder))
        ours = all(EXCHANGED.match(file.path[len(folder) + 1 :]) and file.changed < before for file in files)
        if ours and {one for one in beside if not CUT_OFF.fullmatch(one)} <= OF_DEDUP:
            yield of_folder(Kind.EXCHANGE, listing, folder, "the dedup that wrote them was killed")


def _begun(listing: Listing, before: float, *, unfinished: bool, kept: Kept) -> Iterator[Waste]:
    """Folders that `assign` or `join` has begun and not finished."""
    for folder in listing.folders_with(BEGUN):
        files = listing.below(folder)
        names = {posixpath.basename(file.path) for file in files} - {BEGUN}
        strange = sorted(name for name in names if not name.endswith(".parquet") and not CUT_OFF.fullmatch(name))
        try:
            read_document(listing.place(folder) / BEGUN, BEGUN_FORMAT, "")
        except UserError:
            continue
        if strange or max(file.changed for file in files) >= before:
            why = f"holds what it did not write, such as {strange[0]}" if strange else "may be at work"
            kept.notes.append(f"{folder or 'the folder'} stays: it was begun, and {why}")
        elif unfinished:
            yield of_folder(Kind.BEGUN, listing, folder, "it was begun and never finished")
        else:
            kept.notes.append(f"{folder or 'the folder'} stays: it was begun and never finished; --unfinished lets it go")
