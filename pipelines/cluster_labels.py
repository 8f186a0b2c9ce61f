"""The last pass of `quorum cluster`: labels of every row under the final centers and prices, written where they are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
import torch

from algos.constrained_kmeans import ConstrainedKMeans
from pipelines.progress import progress
from pipelines.ray_data import configure_ray_data
from pipelines.storage import Location
from pipelines.vectors import Vectors, first_without_direction

TASK_ROWS = 1 << 17  # of one file of labels, at least one row group
PIECE = 1 << 22  # numbers held at once


@dataclass(frozen=True)
class Model:
    """What labels follow from: K of each head, centers (sum of K, D), prices (sum of K,)."""

    heads: list[int]
    centers: np.ndarray
    prices: np.ndarray

    @classmethod
    def of(cls, kmeans: ConstrainedKMeans) -> Model:
        """The present state of a clustering."""
        return cls(list(kmeans.num_clusters), kmeans.centers.numpy(force=True), kmeans.duals.numpy(force=True))

    def per_head(self, values: np.ndarray) -> list[np.ndarray]:
        """Values of the clusters of each head, (K, ...), out of those of all heads."""
        return np.split(values, np.cumsum(self.heads)[:-1])

    def kmeans(self, device: str) -> ConstrainedKMeans:
        """The clustering, to ask for labels."""
        centers = torch.from_numpy(self.centers.copy())
        made = ConstrainedKMeans(self.heads, centers.shape[1], initial_centers=centers)
        made.duals.copy_(torch.from_numpy(self.prices.copy()))
        return made.to(device)


@dataclass(frozen=True)
class Part:
    """One file of labels, by its number: row groups of one file of vectors, and their places."""

    number: int
    shard: int
    groups: range
    start: int
    rows: int

    @property
    def name(self) -> str:
        """Of the file."""
        return f"part-{self.number:06d}.parquet"


def parts(vectors: Vectors, rows: int = TASK_ROWS) -> list[Part]:
    """The files of labels to write, in the order of the vectors."""
    made, start = list[Part](), 0
    for index, shard in enumerate(vectors.shards):
        first = 0
        for group in range(len(shard.row_groups)):
            mine = sum(shard.row_groups[first : group + 1])
            if mine >= rows or group + 1 == len(shard.row_groups):
                made.append(Part(len(made), index, range(first, group + 1), start, mine))
                first, start = group + 1, start + mine
    return made


@dataclass(frozen=True)
class Labelled:
    """Labels in files, and what they come to.

    Attributes:
        vectors: the rows.
        model: that the labels follow from.
        parts: the files of labels.
        folder: where they are.
        counts: (sum of K,) rows of each cluster of all heads.
        sums: (sum of K,) their similarities.
    """

    vectors: Vectors
    model: Model
    parts: list[Part]
    folder: Location
    counts: np.ndarray
    sums: np.ndarray


def over_parts(count: int, task: Any, *, gpu: bool = False) -> Iterator[dict[str, np.ndarray]]:
    """What `task` yields for parts 0 to count - 1, as it comes: Ray Data tasks on the whole cluster, one for each part."""
    configure_ray_data()
    numbers = ray.data.range(count, override_num_blocks=count)
    yield from numbers.map_batches(task, batch_size=None, num_gpus=1 if gpu else None).iter_batches(batch_size=None)


@contextmanager
def replaced(folder: Location, part: Part) -> Iterator[Any]:
    """A stream whose content becomes the part's file when the block ends well: a task that runs again does no harm."""
    partial = folder / f"{part.name}.partial"
    try:
        with folder.filesystem.open_output_stream(partial.path) as sink:
            yield sink
    except BaseException:
        partial.delete_file()
        raise
    folder.filesystem.move(partial.path, (folder / part.name).path)


class LabelWriter:
    """Reads, labels and writes the rows of parts, a row group at a time; runs in Ray Data tasks.

    Called with a batch of part numbers, yields a row for each: `part`, `rows`, `bad` (place of a row without direction, or -1),
    and per cluster of all heads `counts` and `similarity`, the sum over its rows.
    """

    def __init__(self, vectors: Vectors, todo: list[Part], model: ray.ObjectRef, folder: Location, *, gpu: bool) -> None:
        self.vectors, self.todo, self.model, self.folder = vectors, todo, model, folder
        self.device = "cuda" if gpu else "cpu"

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Write the parts whose numbers `batch["id"]` holds."""
        kmeans = ray.get(self.model).kmeans(self.device)
        for number in batch["id"].tolist():
            yield self._write(number, kmeans)

    def _write(self, number: int, kmeans: ConstrainedKMeans) -> dict[str, np.ndarray]:
        part, total = self.todo[number], len(kmeans.centers)
        counts, sums, rows, bad = np.zeros(total, np.int64), np.zeros(total), 0, -1
        try:
            with replaced(self.folder, part) as sink:
                for stacked, similarity in self._label(part, kmeans, sink):
                    counts += np.bincount(stacked, minlength=total)
                    sums += np.bincount(stacked, weights=similarity, minlength=total)
                    rows += len(stacked) // len(kmeans.num_clusters)
        except _NoDirectionError as error:
            bad = error.place
        columns = {"part": number, "rows": rows, "bad": bad}
        return {name: np.array([value]) for name, value in columns.items()} | {"counts": counts[None], "similarity": sums[None]}

    def _label(self, part: Part, kmeans: ConstrainedKMeans, sink: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Write a part; yields the clusters of all heads and the similarities of each row group's rows, both (H x R,)."""
        writer = None
        for group in part.groups:
            vectors, places = self.vectors.read(part.shard, group)
            if (bad := first_without_direction(vectors, places)) is not None:
                raise _NoDirectionError(bad)
            labels, similarity = label(kmeans, torch.from_numpy(vectors))
            table = _table(self.vectors.read_ids(part.shard, group), labels, similarity)
            writer = writer or pq.ParquetWriter(sink, table.schema)
            writer.write_table(table)
            yield (labels + kmeans.offsets.numpy(force=True)).ravel(), similarity.ravel()
        if writer is not None:
            writer.close()


class _NoDirectionError(Exception):
    """A row that gave none, by its place; within a task, whose own errors would reach the user with a stack."""

    def __init__(self, place: int) -> None:
        self.place = place


def pieces(kmeans: ConstrainedKMeans, rows: torch.Tensor, numbers: int = PIECE) -> Iterator[torch.Tensor]:
    """Rows (R, D) on the clustering's device, in pieces whose similarities are about so many numbers."""
    width = max(len(kmeans.centers), len(kmeans.num_clusters) * rows.shape[1])
    for piece in rows.split(max(numbers // width, 1)):
        yield piece.to(kmeans.centers.device)


def label(kmeans: ConstrainedKMeans, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Labels (H, R) int64 of unit rows (R, D) and the similarity of each row to its center, without prices."""
    labels, similarity = [], []
    for piece in pieces(kmeans, rows):
        labels.append(kmeans.assign(piece))
        similarity.append(kmeans.similarity(piece, labels[-1]))
    return torch.cat(labels, dim=1).numpy(force=True), torch.cat(similarity, dim=1).numpy(force=True)


def _table(ids: pa.Array, labels: np.ndarray, similarity: np.ndarray) -> pa.Table:
    columns = {"id": ids}
    for head in range(len(labels)):
        columns[f"label_head{head}"] = pa.array(labels[head], pa.int32())
        columns[f"similarity_head{head}"] = pa.array(similarity[head], pa.float32())
    return pa.table(columns)


def write_labels(vectors: Vectors, model: Model, folder: Location, *, gpu: bool) -> Labelled:
    """Write `part-....parquet` (id, label and similarity of each head) to a folder, with tasks on the whole cluster.

    Raises:
        UserError: for a row that has no direction.
        RuntimeError: if a row was missed or came twice.
    """
    todo = parts(vectors)
    writer = LabelWriter(vectors, todo, ray.put(model), folder.make(), gpu=gpu)
    seen, rows = np.zeros(len(todo), np.int64), 0
    counts, sums = np.zeros(len(model.centers), np.int64), np.zeros(len(model.centers))
    with progress("label", vectors.rows, "rows") as bar:
        for batch in over_parts(len(todo), writer, gpu=gpu):
            for bad in batch["bad"][batch["bad"] >= 0].tolist():
                raise vectors.refusal(bad)
            np.add.at(seen, batch["part"], 1)
            rows += int(batch["rows"].sum())
            counts += batch["counts"].sum(axis=0)
            sums += batch["similarity"].sum(axis=0)
            bar.move_to(rows)
    if rows != vectors.rows or (seen != 1).any():
        raise RuntimeError(
            f"{rows} rows were labelled, {vectors.rows} expected; {int((seen != 1).sum())} files are not written once"
        )
    return Labelled(vectors, model, todo, folder, counts, sums)
