"""The last pass of `quorum cluster`: labels of every row under the final centers and prices, written where they are computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
import torch

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from pipelines.clustering.label_files import FrozenClusters, LabelFile, LabelledFolder, changed_rows, label_files, start_column
from pipelines.datasets.embedding_folder import EmbeddingFolder, first_spoilt
from pipelines.files.location import Location
from pipelines.progress import progress
from pipelines.stream.ray_data import configure_ray_data

FAR = 10.0  # times the root mean square around the origin, as the estimator has it in `algos.estimator.far_rows`
SIMILARITIES_HELD = 1 << 22  # numbers held at once


def over_parts(count: int, task: Any, *, gpu: bool = False) -> Iterator[dict[str, np.ndarray]]:
    """What `task` yields for parts 0 to count - 1, as it comes: Ray Data tasks on the whole cluster, one for each part."""
    configure_ray_data()
    numbers = ray.data.range(count, override_num_blocks=count)
    yield from numbers.map_batches(task, batch_size=None, num_gpus=1 if gpu else None).iter_batches(batch_size=None)


class LabelWriter:
    """Reads, labels and writes the rows of parts, a row group at a time; runs in Ray Data tasks.

    Called with a batch of part numbers, yields a row for each: `part`, `rows`, `bad` (place of a spoilt row, or -1), `far`
    (rows far out), `changed` (rows of each head with another label than under the clusters `start`), and per cluster of all
    heads `counts` and `similarity`, the sum over its rows.
    """

    def __init__(
        self,
        vectors: EmbeddingFolder,
        todo: list[LabelFile],
        model: ray.ObjectRef,
        folder: Location,
        *,
        gpu: bool,
        start: ray.ObjectRef | None = None,
    ) -> None:
        self.vectors, self.todo, self.model, self.folder, self.start = vectors, todo, model, folder, start
        self.device = "cuda" if gpu else "cpu"

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Write the parts whose numbers `batch["id"]` holds."""
        kmeans = ray.get(self.model).kmeans(self.device)
        start = None if self.start is None else ray.get(self.start).kmeans(self.device)
        for number in batch["id"].tolist():
            yield self._write(number, kmeans, start)

    def _write(
        self, number: int, kmeans: OnlineConstrainedKMeans, start: OnlineConstrainedKMeans | None
    ) -> dict[str, np.ndarray]:
        part, total = self.todo[number], len(kmeans.centers)
        counts, sums, rows, bad = np.zeros(total, np.int64), np.zeros(total), 0, -1
        self._far, self._changed = 0, np.zeros(len(kmeans.num_clusters), np.int64)
        try:
            with (self.folder / part.name).written() as sink:
                for stacked, similarity in self._label(part, kmeans, start, sink):
                    counts += np.bincount(stacked, minlength=total)
                    sums += np.bincount(stacked, weights=similarity, minlength=total)
                    rows += len(stacked) // len(kmeans.num_clusters)
        except _SpoiltRowError as error:
            bad = error.place
        columns = {"part": number, "rows": rows, "bad": bad, "far": self._far}
        arrays = {"changed": self._changed, "counts": counts, "similarity": sums}
        return {name: np.array([value]) for name, value in (columns | arrays).items()}

    def _label(
        self, part: LabelFile, kmeans: OnlineConstrainedKMeans, start: OnlineConstrainedKMeans | None, sink: Any
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Write a part; yields the clusters of all heads and the similarities of each piece's rows, both (H x R,)."""
        writer = None
        for group in part.groups:
            ids, done = self.vectors.read_ids(part.shard, group), 0
            for vectors, places in self.vectors.pieces(part.shard, group):
                if (bad := first_spoilt(vectors, places)) is not None:
                    raise _SpoiltRowError(bad)
                self._far += 0 if kmeans.spherical else int((np.square(vectors).sum(axis=1) > FAR**2).sum())
                labels, similarity = label(kmeans, torch.from_numpy(vectors))
                table = _table(ids.slice(done, len(places)), labels, similarity * self.vectors.form.unit)
                if start is not None:
                    before, _ = label(start, torch.from_numpy(vectors))
                    for head, mine in enumerate(before):
                        table = table.append_column(start_column(head), pa.array(mine, pa.int32()))
                    self._changed += changed_rows(table, len(before))
                done += len(places)
                writer = writer or pq.ParquetWriter(sink, table.schema)
                writer.write_table(table)
                yield (labels + kmeans.offsets.numpy(force=True)).ravel(), similarity.ravel()
        if writer is not None:
            writer.close()


class _SpoiltRowError(Exception):
    """A row that cannot be read, by its place; within a task, whose own errors would reach the user with a stack."""

    def __init__(self, place: int) -> None:
        self.place = place


def row_batches(kmeans: OnlineConstrainedKMeans, rows: torch.Tensor, numbers: int = SIMILARITIES_HELD) -> Iterator[torch.Tensor]:
    """Rows (R, D) on the clustering's device, in row_batches whose similarities are about so many numbers."""
    width = max(len(kmeans.centers), len(kmeans.num_clusters) * rows.shape[1])
    for piece in rows.split(max(numbers // width, 1)):
        yield piece.to(kmeans.centers.device)


def label(kmeans: OnlineConstrainedKMeans, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Labels (H, R) int64 of rows (R, D) and the similarity of each to its center, without prices."""
    labels, similarity = [], []
    for piece in row_batches(kmeans, rows):
        labels.append(kmeans.assign(piece))
        similarity.append(kmeans.similarity(piece, labels[-1]))
    return torch.cat(labels, dim=1).numpy(force=True), torch.cat(similarity, dim=1).numpy(force=True)


def _table(ids: pa.Array, labels: np.ndarray, similarity: np.ndarray) -> pa.Table:
    columns = {"id": ids}
    for head in range(len(labels)):
        columns[f"label_head{head}"] = pa.array(labels[head], pa.int32())
        columns[f"similarity_head{head}"] = pa.array(similarity[head], pa.float32())
    return pa.table(columns)


def write_labels(
    vectors: EmbeddingFolder, model: FrozenClusters, folder: Location, *, gpu: bool, start: FrozenClusters | None = None
) -> LabelledFolder:
    """Write `part-....parquet` (id, label and similarity of each head) to a folder, with tasks on the whole cluster.

    Where the run started from other clusters, files also have each row's label under these: `start_label_head0`.

    Raises:
        UserError: for a spoilt row.
        RuntimeError: if a row was missed or came twice.
    """
    todo = label_files(vectors)
    began = None if start is None else ray.put(start)
    writer = LabelWriter(vectors, todo, ray.put(model), folder.make(), gpu=gpu, start=began)
    folder.delete_cut_off()
    seen, rows, far = np.zeros(len(todo), np.int64), 0, 0
    counts, sums = np.zeros(len(model.centers), np.int64), np.zeros(len(model.centers))
    changed = np.zeros((len(todo), len(model.heads)), np.int64)
    with progress("label", vectors.rows, "rows") as bar:
        for batch in over_parts(len(todo), writer, gpu=gpu):
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
