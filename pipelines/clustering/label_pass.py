"""The last pass of `quorum cluster`: labels of every row under the final centers and prices, written where they are computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.row_threads import RowThreads
from pipelines.clustering.label_files import FrozenClusters, LabelFile, LabelledFolder, changed_rows, label_files, start_column
from pipelines.datasets.embedding_folder import EmbeddingFolder, SpoiltRowError, check_rows
from pipelines.files.location import Location
from pipelines.progress import progress
from pipelines.stream.cpus import cpus_of_each
from pipelines.stream.part_threads import while_wanted
from pipelines.stream.parts import over_parts

Item = TypeVar("Item")
FAR = 10.0  # times the root mean square around the origin, as the estimator has it in `algos.estimator.far_rows`
SIMILARITIES_HELD = {"cpu": 1 << 22, "cuda": 1 << 24}  # numbers held at once by a process, of which a few share a GPU
GROUP_ROWS = 1 << 17  # of a row group of labels


class LabelWriter:
    """Reads, labels and writes the rows of parts, a piece at a time; runs in Ray tasks, or threads.

    Called with a batch of part numbers, yields a row for each: `part`, `rows`, `bad` (place of a spoilt row, or -1), `far`
    (rows far out), `changed` (rows of each head with another label than under the clusters `start`), and per cluster of all
    heads `counts` and `similarity`, the sum over its rows.

    Args:
        vectors: the rows.
        todo: the parts.
        model: that the labels follow from.
        folder: of the files.
        start: clusters that the run started from; files then also have each row's label under these: `start_label_head0`.
        gpu: whether rows are labelled on one.
        cpus: of a task, whose threads share the rows; they change no bit.
        keep: whether a file that is there stays as it is; only counted then.
    """

    def __init__(
        self, vectors: EmbeddingFolder, todo: list[LabelFile], model: ray.ObjectRef, folder: Location, *,
        start: ray.ObjectRef | None = None, gpu: bool, cpus: int = 1, keep: bool = False,
    ) -> None:  # fmt: skip
        self.vectors, self.todo, self.model, self.folder, self.start = vectors, todo, model, folder, start
        self.device, self.cpus, self.keep = "cuda" if gpu else "cpu", cpus, keep

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Write the parts whose numbers `batch["id"]` holds."""
        torch.set_num_threads(1)  # the rows of a piece are what threads share
        model = ray.get(self.model)
        clusterings = [model.kmeans(self.device)]
        if self.start is not None:
            clusterings.append(ray.get(self.start).kmeans(self.device))
        for number in batch["id"].tolist():
            part, bad, self._far = self.todo[number], -1, 0
            counts, sums = np.zeros(len(model.centers), np.int64), np.zeros(len(model.centers))
            changed = np.zeros(len(model.heads), np.int64)
            try:
                for table in self._tables(part, model, clusterings):
                    _count(table, model, counts, sums)
                    changed += changed_rows(table, len(model.heads))
            except SpoiltRowError as error:
                bad = error.place
            rows = int(counts.sum()) // len(model.heads)
            columns = {"part": number, "rows": rows, "bad": bad, "far": self._far}
            totals = {"counts": counts[None], "similarity": sums[None] / self.vectors.form.unit, "changed": changed[None]}
            yield {name: np.array([value]) for name, value in columns.items()} | totals

    def _tables(self, part: LabelFile, model: FrozenClusters, clusterings: list[OnlineConstrainedKMeans]) -> Iterator[pa.Table]:
        """The row groups of a file of labels: of one that is kept, or as they have been written."""
        place = self.folder / part.name
        if self.keep and place.exists():
            yield from _row_groups(place)
            return
        with place.written() as sink:
            writer = None
            for table in _collected(self._label(part, model, *clusterings)):
                # Ids and similarities hardly come again: a dictionary of them is work for nothing.
                again = [f"label_head{head}" for head in model.numbers]
                writer = writer or pq.ParquetWriter(sink, table.schema, use_dictionary=again, write_page_checksum=True)
                writer.write_table(table)
                yield table
            if writer is not None:
                writer.close()

    def _label(
        self,
        part: LabelFile,
        model: FrozenClusters,
        kmeans: OnlineConstrainedKMeans,
        start: OnlineConstrainedKMeans | None = None,
    ) -> Iterator[pa.Table]:
        """Ids, labels and similarities of a part, piece by piece; with time to spare the next is read meanwhile."""
        with closing(RowThreads(self.cpus)) as threads:
            for ids, rows in while_wanted(_read_ahead(self._pieces(part))):
                labels, similarity = label(kmeans, torch.from_numpy(rows), threads)
                table = _table(ids, model.numbers, labels, similarity * self.vectors.form.unit)
                before = () if start is None else label(start, torch.from_numpy(rows), threads)[0]
                for head, mine in enumerate(before):
                    table = table.append_column(start_column(head), pa.array(mine, pa.int32()))
                yield table

    def _pieces(self, part: LabelFile) -> Iterator[tuple[pa.Array, np.ndarray]]:
        for group in part.groups:
            ids, done = self.vectors.read_ids(part.shard, group), 0
            for rows, places in self.vectors.pieces(part.shard, group):
                check_rows(rows, places)
                if self.vectors.form.metric == "euclidean":
                    self._far += int((np.square(rows).sum(axis=1) > FAR**2).sum())
                yield ids.slice(done, len(places)), rows
                done += len(places)


def row_batches(kmeans: OnlineConstrainedKMeans, rows: torch.Tensor, numbers: int | None = None) -> Iterator[torch.Tensor]:
    """Rows (R, D) on the clustering's device, so many at a time that their similarities are about so many numbers."""
    device = kmeans.centers.device
    for piece in rows.split(max((numbers or SIMILARITIES_HELD[device.type]) // kmeans.numbers_per_row, 1)):
        yield piece.to(device)


def label(
    kmeans: OnlineConstrainedKMeans, rows: torch.Tensor, threads: RowThreads | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (H, R) int64 of rows (R, D), one at least, and the similarity of each to its center, without prices.

    Args:
        kmeans: the clustering.
        rows: on the CPU.
        threads: to share them; the caller's own where none are given.
    """
    threads = threads or RowThreads(1)
    batches = [rows] if kmeans.centers.device.type == "cpu" else row_batches(kmeans, rows)
    labels, similarity = zip(*(threads.label(kmeans, piece) for piece in batches), strict=True)
    return torch.cat(labels, dim=1).numpy(force=True), torch.cat(similarity, dim=1).numpy(force=True)


class _End:
    """Comes after the last item."""


def _read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, each of which is made by a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, _End())
        while not isinstance(item := coming.result(), _End):
            coming = reader.submit(next, items, _End())
            yield item


def _collected(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of the pieces in tables of about `GROUP_ROWS`."""
    held, rows = list[pa.Table](), 0
    for piece in pieces:
        held.append(piece)
        rows += len(piece)
        if rows >= GROUP_ROWS:
            yield pa.concat_tables(held)
            held, rows = [], 0
    if held:
        yield pa.concat_tables(held)


def _row_groups(place: Location) -> Iterator[pa.Table]:
    with place.filesystem.open_input_file(place.path) as file:
        opened = pq.ParquetFile(file)
        for group in range(opened.num_row_groups):
            yield opened.read_row_group(group)


def _table(ids: pa.Array, heads: Iterable[int], labels: np.ndarray, similarity: np.ndarray) -> pa.Table:
    columns = {"id": ids}
    for head, mine, similar in zip(heads, labels, similarity, strict=True):
        columns[f"label_head{head}"] = pa.array(mine, pa.int32())
        columns[f"similarity_head{head}"] = pa.array(similar, pa.float32())
    return pa.table(columns)


def _count(table: pa.Table, model: FrozenClusters, counts: np.ndarray, sums: np.ndarray) -> None:
    """Add the rows of each cluster of all heads to `counts`, and their similarities to `sums`, both (sum of K,)."""
    start = 0
    for head, clusters in zip(model.numbers, model.heads, strict=True):
        labels, similarity = table[f"label_head{head}"].to_numpy(), table[f"similarity_head{head}"].to_numpy()
        mine = slice(start, start + clusters)
        counts[mine] += np.bincount(labels, minlength=clusters)
        sums[mine] += np.bincount(labels, weights=similarity, minlength=clusters)
        start += clusters


def write_labels(
    vectors: EmbeddingFolder,
    model: FrozenClusters,
    folder: Location,
    *,
    gpu: bool,
    start: FrozenClusters | None = None,
    keep: bool = False,
) -> LabelledFolder:
    """Write `part-....parquet` (id, label and similarity of each head) to a folder, with tasks on the whole cluster.

    Args:
        vectors: the rows.
        model: that the labels follow from.
        folder: of the files.
        gpu: whether rows are labelled on the cluster's GPUs.
        start: clusters that the run started from; files then also have each row's label under these: `start_label_head0`.
        keep: whether files that are there stay, because they were made of the same rows and clusters.

    Raises:
        UserError: for a spoilt row.
        RuntimeError: if a row was missed or came twice.
    """
    todo = label_files(vectors)
    cpus = cpus_of_each(len(todo))
    began = None if start is None else ray.put(start)
    writer = LabelWriter(vectors, todo, ray.put(model), folder.make(), start=began, gpu=gpu, cpus=cpus, keep=keep)
    folder.delete_cut_off()
    seen, rows, far = np.zeros(len(todo), np.int64), 0, 0
    counts, sums = np.zeros(len(model.centers), np.int64), np.zeros(len(model.centers))
    changed = np.zeros((len(todo), len(model.heads)), np.int64)
    with progress("label", vectors.rows, "rows") as bar:
        for batch in over_parts(len(todo), writer, gpu=gpu, threads=True):
            for bad in batch["bad"][batch["bad"] >= 0].tolist():
                raise vectors.refusal(bad)
            np.add.at(seen, batch["part"], 1)
            rows += int(batch["rows"].sum())
            far += int(batch["far"].sum())
            changed[batch["part"]] = batch["changed"]
            counts += batch["counts"].sum(axis=0)
            sums += batch["similarity"].sum(axis=0)
            bar.move_to(rows)
    if rows != vectors.rows or (seen != 1).any():
        raise RuntimeError(
            f"{rows} rows were labelled, {vectors.rows} expected; {int((seen != 1).sum())} files are not written once"
        )
    return LabelledFolder(vectors, model, todo, folder, counts, sums, far, None if start is None else changed)
