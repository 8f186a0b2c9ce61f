"""What work that was killed has left: copies, exchanged rows, begun folders, files that were being written, folders of Ray."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Collection, Iterator, Sequence

from pipelines.cleaning.found_runs import FoundRun, State, state_of
from pipelines.cleaning.listing import Listing, within
from pipelines.cleaning.old_runs import Kept
from pipelines.cleaning.own_names import OF_A_BEGINNING, OF_A_COPY, OF_ASSIGN, OF_EXCHANGE, OF_JOIN, OF_RAY_TRAIN, OF_RAY_TUNE
from pipelines.cleaning.waste import Kind, Waste, of_file, of_folder
from pipelines.curation.begun_folder import BEGUN, BEGUN_FORMAT
from pipelines.curation.duplicates.find import EXCHANGE, PAIRS, REPORT
from pipelines.curation.duplicates.sorting_out import KEPT, REMOVED
from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST
from pipelines.doctor.places import PROBE
from pipelines.errors import UserError
from pipelines.files.documents import read_document
from pipelines.files.location import CUT_OFF
from pipelines.files.one_writer import NOTE
from pipelines.files.storage_errors import of_one_file
from pipelines.runs.run_folder import RUN_FILE, SWEEP_FILE
from pipelines.working_copy.copy_plan import COPY

RAY_TRAIN, RAY_TUNE = re.compile(r"train-\d+"), re.compile(r"tune-\d+")  # folders by the time that they were made at
RAYS_MARK = ".validate_storage_marker"  # in each of them
DOCTORS = re.compile(rf"{re.escape(PROBE)}-[0-9a-f]{{12}}.*")
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
    before = time.time() - idle_seconds
    folders = [
        *(one for run in runs if not within(run.folder, gone) for one in _of_run(listing, run, unfinished=unfinished, kept=kept)),
        *_of_sweeps(listing, idle_seconds, kept),
        *_of_dedup(listing, before),
        *_begun(listing, before, unfinished=unfinished, kept=kept),
        *_never_runs(listing, before, unfinished=unfinished, kept=kept),
    ]
    yield from folders
    elsewhere = {*gone, *(one.path for one in folders), *(run.folder for run in runs if not run.is_at_rest)}
    for file in listing.files:
        name = posixpath.basename(file.path)
        cut_off = listing.root.is_local and CUT_OFF.fullmatch(name)
        if (cut_off or DOCTORS.fullmatch(name)) and file.changed < before and not within(file.path, elsewhere):
            if cut_off:
                yield of_file(Kind.CUT_OFF, file, "whoever wrote it was killed")
            else:
                yield of_file(Kind.PROBE, file, "quorum doctor wrote it to try the storage")


def _of_run(listing: Listing, run: FoundRun, *, unfinished: bool, kept: Kept) -> Iterator[Waste]:
    """A clustering's working copy, and of a run that ended well what Ray Train noted."""
    if run.run is None or not run.is_at_rest:
        return
    copy, done = posixpath.join(run.folder, COPY), run.state is State.FINISHED
    if run.run.kind == "cluster" and EMBEDDINGS_MANIFEST in listing.children(copy):
        if others := listing.others(copy, OF_A_COPY):
            kept.note(run, f"its working copy holds {others[0]}, which is not of it")
        elif done and not (run.config or {}).get("keep_copy"):
            yield of_folder(Kind.COPY, listing, copy, "the labels are written", run.folder)
        elif not done and unfinished:
            yield of_folder(Kind.COPY, listing, copy, "--resume writes it again", run.folder)
        else:
            kept.note(run, "its working copy is wished" if done else f"it {run.state}; --unfinished lets its working copy go")
    if done:
        yield from _of_ray(listing, posixpath.join(run.folder, "ray"), RAY_TRAIN, OF_RAY_TRAIN, run.folder, kept)


def _of_sweeps(listing: Listing, idle_seconds: float, kept: Kept) -> Iterator[Waste]:
    """What Ray Tune noted of sweeps."""
    for sweep in listing.folders_with(SWEEP_FILE):
        if state_of(listing, sweep, idle_seconds) is not State.AT_WORK:
            yield from _of_ray(listing, sweep, RAY_TUNE, OF_RAY_TUNE, sweep, kept)


def _of_ray(
    listing: Listing, above: str, named: re.Pattern[str], known: re.Pattern[str], run: str, kept: Kept
) -> Iterator[Waste]:  # fmt: skip
    """Folders of Ray in one of a run or a sweep: they have its mark, and nothing that it does not write."""
    for name in sorted(filter(named.fullmatch, listing.children(above))):
        folder = posixpath.join(above, name)
        others = listing.others(folder, known)
        if others or RAYS_MARK not in listing.children(folder):
            why = f"holds {others[0]}" if others else f"has no {RAYS_MARK}"
            kept.notes.append(f"{folder} stays: it has the name of a folder of Ray's, and {why}")
        else:
            yield of_folder(Kind.RAY, listing, folder, "Ray's notes of work that has ended", run)


def _of_dedup(listing: Listing, before: float) -> Iterator[Waste]:
    """Rows that a dedup which was killed had exchanged."""
    folders = {posixpath.dirname(file.path) for file in listing.files if f"/{EXCHANGE}/" in f"/{file.path}"}
    for folder in sorted(one for one in folders if posixpath.basename(one) == EXCHANGE):
        beside = listing.children(posixpath.dirname(folder))
        ours = not listing.others(folder, OF_EXCHANGE) and max(listing.times(folder).values()) < before
        if ours and {one for one in beside if not CUT_OFF.fullmatch(one)} <= OF_DEDUP:
            yield of_folder(Kind.EXCHANGE, listing, folder, "the dedup that wrote them was killed")


def _never_runs(listing: Listing, before: float, *, unfinished: bool, kept: Kept) -> Iterator[Waste]:
    """Folders that were to become a run when what made them was killed: its note is there, and no more than comes before."""
    for folder in listing.folders_with(NOTE):
        if RUN_FILE in listing.children(folder) or listing.others(folder, OF_A_BEGINNING):
            continue
        if max(listing.times(folder).values(), default=0.0) >= before:
            kept.notes.append(f"{folder or 'the folder'} stays: it was to become a run, and may be at work")
        elif unfinished:
            yield of_folder(Kind.BEGUN, listing, folder, "it was to become a run, and was killed before")
        else:
            kept.notes.append(f"{folder or 'the folder'} stays: it was to become a run; --unfinished lets it go")


def _begun(listing: Listing, before: float, *, unfinished: bool, kept: Kept) -> Iterator[Waste]:
    """Folders that `assign` or `join` has begun and not finished."""
    for folder in listing.folders_with(BEGUN):
        try:
            with of_one_file():
                plan = read_document(listing.place(folder) / BEGUN, BEGUN_FORMAT, "")
        except UserError:
            continue
        strange = listing.others(folder, OF_ASSIGN if "model" in plan else OF_JOIN)
        if strange or max(listing.times(folder).values()) >= before:
            why = f"holds what it did not write, such as {strange[0]}" if strange else "may be at work"
            kept.notes.append(f"{folder or 'the folder'} stays: it was begun, and {why}")
        elif unfinished:
            yield of_folder(Kind.BEGUN, listing, folder, "it was begun and never finished")
        else:
            kept.notes.append(f"{folder or 'the folder'} stays: it was begun and never finished; --unfinished lets it go")
