"""`quorum dedup`: near-duplicates among the rows of each cluster, and which of them to keep (SemDeDup).

Rows are dealt to their clusters through files beside the result, whole clusters are compared in tasks, and what is found goes
back to the places of the rows the same way. A task holds the rows of its clusters, some hundred MB or one large cluster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.clustering.label_files import label_files
from pipelines.clustering.source_images import images_of
from pipelines.curation.duplicates.exchange import SLICE, SliceIndex
from pipelines.curation.duplicates.keep_order import KeepOrder, check_column, keep_order
from pipelines.curation.duplicates.pictures import draw_pairs
from pipelines.curation.duplicates.rows import RowsToCompare, rows_to_compare
from pipelines.curation.duplicates.sorting_out import KEPT, REMOVED, Findings
from pipelines.curation.duplicates.tasks import MOST_FLUSHES, Comparer, Dealer, Dealing
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE, one_writer
from pipelines.free_memory import free_bytes
from pipelines.jobs.ray_cluster import connect
from pipelines.progress import in_bytes, progress
from pipelines.stream.parts import over_parts
from pipelines.tracking.local_copy import local_folder
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.words import tell

REPORT, PAIRS, EXCHANGE = "report.json", "pairs.png", "_exchange"
TASK_BYTES, TASKS = 256 << 20, 64  # of the vectors of a task's clusters at most, and how many tasks there are at least
COPIES = 3  # of its rows that a task holds
SAID_BYTES = 1 << 30  # of files beside the result, from which on they are said


@dataclass(frozen=True)
class Duplicates:
    """Near-duplicates that were found: the folder of the two lists, and what `report.json` says."""

    location: Location
    report: dict[str, Any]


def find_duplicates(
    place: str, to: str, *, threshold: float, keep: str | None = None, keep_by: str | None = None, ascending: bool = False,
    neighbours: int | None = None, head: int = 0, data: str | None = None, column: str | None = None,
    id_column: str | None = None, all_pairs: bool = False, overwrite: bool = False, address: str | None = None,
) -> Duplicates:  # fmt: skip
    """Write which rows to keep, and which are near-duplicates of one that comes before them.

    Args:
        place: folder of a finished clustering, or embeddings.
        to: an empty or absent folder.
        threshold: cosine from which on two rows are near-duplicates.
        keep: which row of a cluster comes first: farthest from its center (the default), nearest to it, or first in the data.
        keep_by: column of the vectors' files whose greatest value comes first, instead.
        ascending: the least value comes first.
        neighbours: clusters besides its own, the next nearest, that a row is compared in; default 1.
        head: whose clusters.
        data: where the clustering's embeddings are now, if they have moved.
        column: of the vectors, where embeddings are given.
        id_column: likewise of the ids.
        all_pairs: compare all rows of embeddings with each other, however many they are.
        overwrite: replace an earlier result.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.

    Raises:
        UserError: for options that do not go together, rows that cannot be read, or a folder in use.
    """
    began = time.monotonic()
    if not 0 < threshold <= 1:
        raise UserError(f"--threshold is {threshold}; it is a cosine, above 0 and at most 1")
    rows = rows_to_compare(place, head=head, data=data, column=column, id_column=id_column, all_pairs=all_pairs)
    order = keep_order(keep, keep_by, ascending=ascending, clustered=rows.model is not None)
    if order.column is not None:
        check_column(rows.vectors, order.column)
    beside = rows.neighbours(neighbours)
    folder, sizes = _place(to, rows), rows.sizes
    with one_writer(folder):
        _empty(folder, overwrite=overwrite)
        connect(address)
        report: dict[str, Any] = _find(rows, sizes, order, threshold, beside, folder)
        report |= {
            "threshold": threshold, "keep": str(order), "clusters": len(sizes) if rows.model else None, "neighbours": beside,
            "largest_cluster": int(sizes.max()), "seconds": time.monotonic() - began,
        }  # fmt: skip
        _record(folder, rows, report)
    return Duplicates(folder, report)


def _place(to: str, rows: RowsToCompare) -> Location:
    """The folder for the result, which is none that rows are read from."""
    folder, vectors = Location.of(to), rows.vectors
    taken = [*([] if vectors.single else [vectors.location]), *([rows.labels.folder] if rows.labels is not None else [])]
    if inside := [one for one in taken if folder.lies_in(one)]:
        raise UserError(f"--to {folder} lies in {inside[0]}, whose files are all read as rows; choose another folder")
    if folder.is_file():
        raise UserError(f"--to {folder} is a file; choose a folder")
    return folder


def _empty(folder: Location, *, overwrite: bool) -> None:
    """Clear the folder of an earlier result, and of one that was killed."""
    ours = [KEPT, REMOVED, REPORT, PAIRS]
    if strange := sorted({*folder.children()} - {*ours, EXCHANGE, NOTE, *folder.cut_off()}):
        raise UserError(
            f"{folder} holds other files than a dedup's, such as {strange[0]}; choose an empty or absent folder for --to"
        )
    if (folder / REPORT).exists() and not overwrite:
        raise UserError(f"{folder} already holds a dedup; choose another --to or give --overwrite")
    folder.delete_cut_off()
    for name in reversed(ours):
        (folder / name).delete_file()
    (folder / EXCHANGE).delete_folder()


def _find(
    rows: RowsToCompare, sizes: np.ndarray, order: KeepOrder, threshold: float, neighbours: int, folder: Location
) -> dict[str, int]:
    """Write the two lists; returns what they come to."""
    exchange = folder.make() / EXCHANGE
    try:
        return _compare(rows, sizes, order, threshold, neighbours, exchange).write(folder)
    finally:
        exchange.delete_folder()


def _compare(
    rows: RowsToCompare, sizes: np.ndarray, order: KeepOrder, threshold: float, neighbours: int, exchange: Location
) -> Findings:
    """Deal the rows, and compare those of each cluster."""
    vectors, model = rows.vectors, rows.model
    row_bytes = vectors.dim * 4 * (1 + neighbours)
    if vectors.rows * row_bytes > SAID_BYTES:
        size = in_bytes(vectors.rows * row_bytes)
        tell(f"{size} of vectors are written to {exchange}, and removed when clusters are compared")
    parts = label_files(vectors)
    task_of = tasks_of_clusters(sizes * row_bytes)
    centers, prices = (np.empty((1, 0)), np.empty(1)) if model is None else (model.centers, model.prices)
    dealt, found = ((exchange / name).make() for name in ("dealt", "found"))
    dealing = Dealing(vectors, parts, rows.labels, order, centers, prices, neighbours, task_of, dealt)
    slices = SliceIndex(list(_dealt(dealing)))
    _check_memory(slices)
    comparer = Comparer(slices, dealt, found, order, threshold, np.array([part.start for part in parts]))
    tasks, index = int(task_of.max()) + 1, list[np.ndarray]()
    with progress("compare", tasks, "groups of clusters") as bar:
        for batch in over_parts(tasks, comparer):
            index.append(np.stack([batch[name] for name in SLICE], axis=1))
            bar.advance(len(np.unique(batch["file"])))
    return Findings(found, SliceIndex(index), parts, threshold, clustered=model is not None)


def _dealt(dealing: Dealing) -> Iterator[np.ndarray]:
    """The index of all rows as they are dealt."""
    parts, done = len(dealing.parts), set[int]()
    with progress("deal", parts, "files") as bar:
        for batch in over_parts(parts, Dealer(dealing)):
            for bad in batch["bad"][batch["bad"] >= 0].tolist():
                raise dealing.vectors.refusal(bad)
            done.update((batch["file"] // MOST_FLUSHES).tolist())
            bar.move_to(len(done))
            yield np.stack([batch[name] for name in SLICE], axis=1)


def tasks_of_clusters(sizes: np.ndarray) -> np.ndarray:
    """(K,) number of the task that compares each cluster: clusters in their order, as many as come to some hundred MB.

    Args:
        sizes: (K,) bytes of each cluster's vectors.
    """
    most = min(TASK_BYTES, -(-int(sizes.sum()) // TASKS))
    numbers: np.ndarray = np.unique((np.cumsum(sizes) - sizes) // most, return_inverse=True)[1]
    return numbers


def _check_memory(dealt: SliceIndex) -> None:
    """Refuse rows that are compared together and do not fit this machine's memory, which the others' is taken to be like."""
    needed, free = dealt.largest * COPIES, free_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"the largest cluster, with rows of others beside it, takes {in_bytes(needed)} to compare, and {in_bytes(free)} are "
            "free here; cluster again with more clusters, or a maximum size, or leave its neighbours out: --neighbours 0"
        )


def _record(folder: Location, rows: RowsToCompare, report: dict[str, Any]) -> None:
    """Write the report, and pictures where the images are known; a clustering's MLflow run gets both."""
    (folder / REPORT).write_json(report)
    here, names = local_folder(folder), [REPORT]
    images = images_of(rows.vectors)
    here.mkdir(parents=True, exist_ok=True)
    if images is not None and draw_pairs(folder, images, here / PAIRS):
        names.append(PAIRS)
    if not folder.is_local:
        Location.of(here / REPORT).write_bytes((folder / REPORT).read_bytes())
        for name in names:
            (folder / name).write_bytes((here / name).read_bytes())
    if rows.clusters is not None and rows.clusters.run is not None:
        run = rows.clusters.run
        tracker = Tracker(run.local_folder / "curation", run.address)  # the run's own journal may be written by a resume
        for name in names:
            tracker.artifact(here / name, "dedup")
        tracker.close()
        for message in tracker.messages:
            tell(message)
