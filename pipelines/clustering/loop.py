"""The worker loop of `quorum cluster`: online constrained k-means in passes over a stream of vectors.

What a worker holds is the clustering's state, one batch and the stream's windows: nothing grows with the number of rows.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from algos.distributed.collectives import is_distributed
from algos.distributed.epoch_sums import EpochSums
from algos.kmeans.certificate import EpochSummary
from algos.kmeans.metric import Metric
from algos.kmeans.passes import Passes
from algos.kmeans.row_threads import RowThreads
from algos.scores import size_figures
from pipelines.clustering.initial_centers import draw_form, draw_initial_centers
from pipelines.clustering.levels.level_clusterings import FirstChildren, draw_children, new_kmeans, restored_kmeans
from pipelines.clustering.warm_start import WarmStart
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import DIRECTIONS, RowForm
from pipelines.files.location import Location
from pipelines.jobs.epochs import close_record, work_through
from pipelines.jobs.stop_watch import StopWatch
from pipelines.jobs.worker import Worker
from pipelines.runs.checkpoints import CheckpointStore, save_together
from pipelines.stream.epoch_order import StreamShape
from pipelines.stream.epoch_stream import EpochStream
from pipelines.stream.vector_stream import VectorSource
from pipelines.tracking import figures as names
from pipelines.tracking.record import Record

LOG_SECONDS = 5.0  # between two points of the rate, and notes for the progress line


@dataclass(frozen=True)
class ClusterTask:
    """What is clustered into what.

    Attributes:
        heads: K of each.
        min_size_ratio: a cluster's minimum as a share of N / K.
        max_size_ratio: its maximum likewise; `None` for none.
        dual_lr: step size of the prices in the first pass; null takes the core's rule.
        passes: over all rows, of each level.
        shape: how a pass is cut into batches.
        seed: of the first centers and the order of the rows.
        metric: cosine or euclidean.
        before: passes of the finished clustering that it starts from; null where it starts anew.
        parents: M of a clustering on two levels, of one head; null for one level.
    """

    heads: list[int]
    min_size_ratio: float
    max_size_ratio: float | None
    dual_lr: float | None
    passes: int
    shape: StreamShape
    seed: int
    metric: Metric = "cosine"
    before: int | None = None
    parents: int | None = None

    @property
    def first_heads(self) -> list[int]:
        """K of each head in the first pass."""
        return self.heads if self.parents is None else [self.parents]

    @property
    def all_passes(self) -> int:
        """Of all levels."""
        return self.passes if self.parents is None else 2 * self.passes

    def is_of_parents(self, number: int) -> bool:
        """Whether pass `number`, from 0, is one of those that parents get before the clusters below them."""
        return self.parents is not None and number < self.passes


@dataclass(frozen=True)
class ClusterJob:
    """What the driver hands every worker.

    Attributes:
        task: what to do.
        vectors: as the driver opened them.
        run: its folder, a path or URI.
        record: of the run.
        identity: of the run, kept in each checkpoint.
        config: of the run as plain values, kept likewise.
        every_steps: steps between two checkpoints, besides the end of each pass; 0 for none.
        keep_last: newest checkpoints to keep.
    """

    task: ClusterTask
    vectors: EmbeddingFolder
    run: str
    record: Record
    identity: dict[str, str]
    config: dict[str, Any]
    every_steps: int
    keep_last: int


class Clustering:
    """One worker's clustering, stream and place in the run; restored from the newest checkpoint, if any."""

    def __init__(self, job: ClusterJob, worker: Worker) -> None:
        self.job, self.task, self.report = job, job.task, worker.report
        self.rank, self.device = worker.rank, worker.device
        on_cpu = worker.device.type == "cpu"
        worker.claim_device(1)  # thread an operator: the rows of a batch are what threads share
        self.threads = RowThreads(max((os.cpu_count() or 1) // worker.local_count, 1) if on_cpu else 1)
        self.stops = StopWatch(worker.wished, worker.announced)
        self.kmeans = new_kmeans(self.task, job.vectors).to(worker.device)
        self.similarity = EpochSums(len(self.task.heads)).to(worker.device)  # of this pass
        self.passes = Passes(self.kmeans, self.task.before)
        self.number, self.step = 0, 0  # pass and step to do next
        self.saved_at = -1  # global step of the last checkpoint of this process
        self.store = CheckpointStore(Location.of(job.run) / "checkpoints", job.keep_last)
        self._noted = 0.0
        entry = self.store.latest()
        if entry is None:
            self._start()
        else:
            self._restore(self.store.load(entry))
        source = VectorSource(job.vectors.in_form(self.form), worker.device)
        self.stream = EpochStream(
            source, self.task.shape, seed=self.task.seed, rank=worker.rank, workers=worker.count, beside=worker.beside
        )

    @property
    def place(self) -> tuple[int, int]:
        """Pass and step to do next."""
        return self.number, self.step

    @property
    def global_step(self) -> int:
        """Steps since the start of the run."""
        return self.number * self.stream.steps + self.step

    def _start(self) -> None:
        # Rank 0 alone reads; a center that differed in one bit would give workers different labels.
        kmeans, form = self.kmeans, [DIRECTIONS]
        first = [torch.zeros_like(each) for each in (kmeans.centers, kmeans.duals, kmeans.counts)]
        if self.rank == 0:
            form[0], read = _first_clusters(self.job)
            for mine, given in zip(first, read, strict=True):
                mine.copy_(torch.from_numpy(given))
        if is_distributed():
            dist.broadcast_object_list(form, src=0)
            for each in first:
                dist.broadcast(each, src=0)
        self.form, (centers, prices, rows) = form[0], first
        kmeans.start_from(centers, prices)
        self.passes.carry(rows)

    def _restore(self, state: dict[str, Any]) -> None:
        self.kmeans = restored_kmeans(self.task, self.job.vectors, state["kmeans"]).to(self.device)
        self.passes = Passes(self.kmeans, self.task.before)
        self.passes.carried = state["carried"].to(self.device)
        self.form = form_of(state)
        self.similarity.load_state_dict(state["similarity"])
        self.number, self.step = state["epoch"], state["step"]

    def begin_epoch(self, epoch: int) -> None:
        """Start a pass and its clock."""
        self.passes.begin(self.number % self.task.passes)  # of its level
        self._began, self._began_at = time.monotonic(), self.step

    def learn(self, step: int, rows: Tensor) -> None:
        """Rows (b, D) of a global batch: labels, the sum of the statistics over the workers, new centers and prices."""
        labels, similarity = self.threads.label(self.kmeans, rows)
        self.kmeans.collect(rows, labels)
        self.kmeans.begin_update()
        self.similarity.add(similarity.sum(dim=1, dtype=torch.float64))
        self.kmeans.finish_update()
        self.step = step + 1

    def take_step(self, epoch: int, step: int, rows: Tensor) -> None:
        """Learn from a global batch, and what is due after it."""
        self.learn(step, rows)
        self._after_step()

    def save_within(self) -> None:
        """Checkpoint in the middle of a pass, unless the step has one."""
        if self.saved_at != self.global_step:
            self.save()

    def _after_step(self) -> None:
        """Checkpoint and progress note, where they are due."""
        every = self.job.every_steps
        if every and self.step % every == 0 and self.step < self.stream.steps:
            self.save()
        if self.rank == 0 and time.monotonic() - self._noted > LOG_SECONDS:
            self._noted = time.monotonic()
            note = f"pass {self.number + 1}/{self.task.all_passes}  {self._rate():,.0f} rows/s"
            self.job.record.metrics({names.ROWS_PER_SECOND: self._rate()}, self.global_step, note)

    def end_epoch(self, epoch: int) -> None:
        """Figures and checkpoint of a pass."""
        given, summaries = self.passes.end()
        self.similarity.exchange()
        similarity = self.similarity.take() * self.form.unit / given[: self.kmeans.num_clusters[0]].sum()
        figures = self._figures(summaries, self.kmeans.per_head(given), similarity.tolist())
        self.number, self.step = self.number + 1, 0
        if self.task.parents is not None and self.number == self.task.passes:
            self._descend()
        if self.rank == 0:  # before the checkpoint: what is done again is told again, and what is not must be told
            self.job.record.epoch(self.number - 1, self.global_step, figures, None, pictures=False)
        self.save(figures)
        self.report(figures)

    def _descend(self) -> None:
        """Go on with the clusters below the parents, which stay as they are from here on."""
        (clusters,), vectors = self.task.heads, self.job.vectors
        first = FirstChildren.empty(self.kmeans, clusters)
        if self.rank == 0:
            for mine, given in zip(first, draw_children(self.task, vectors.in_form(self.form), self.kmeans), strict=True):
                mine.copy_(given)
        if is_distributed():
            for each in first:
                dist.broadcast(each, src=0)
        self.kmeans = first.below(self.kmeans, self.task, vectors)
        self.passes = Passes(self.kmeans)

    def _figures(self, summaries: list[EpochSummary], given: tuple[Tensor, ...], similarity: list[float]) -> dict[str, float]:
        figures = {names.ROWS_PER_SECOND: self._rate(), names.WAIT_SECONDS: self.stream.take_waited()}
        heads = (
            size_figures(counts.cpu(), summary.min_size, summary.max_size) | summary.figures() | {"similarity": mean}
            for summary, counts, mean in zip(summaries, given, similarity, strict=True)
        )
        return figures | names.of_heads(heads, names.PARENTS if self.task.is_of_parents(self.number) else names.CLUSTERS)

    def _rate(self) -> float:
        """Rows a second over all workers since the pass began, or since the resume."""
        return (self.step - self._began_at) * self.stream.shape.batch_size / (time.monotonic() - self._began)

    def save(self, figures: dict[str, float] | None = None) -> None:
        """Checkpoint with the place as the next to do. All workers call it together.

        Raises:
            UserError: on every worker, when the storage refused.
        """
        self.similarity.exchange()
        self.saved_at = self.global_step
        state = {
            "epoch": self.number, "step": self.step, "identity": self.job.identity, "config": self.job.config,
            "kmeans": self.kmeans.state_dict(), "carried": self.passes.carried, "similarity": self.similarity.state_dict(),
            "form": asdict(self.form), "figures": figures or {},
        }  # fmt: skip
        save = partial(self.store.save, state, epoch=self.number, step=self.step, global_step=self.global_step)
        save_together(save, self.rank)


def _first_clusters(job: ClusterJob) -> tuple[RowForm, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The form of the rows; centers and prices to start from, among such rows, and the rows that the clusters had."""
    task = job.task
    form = draw_form(job.vectors, task.metric, max(task.heads), task.min_size_ratio, task.seed)
    if task.before is None:
        centers = draw_initial_centers(job.vectors.in_form(form), task.first_heads, task.seed)
        return form, (centers, np.zeros(len(centers)), np.zeros(len(centers)))
    start = WarmStart.read(Location.of(job.run), task.metric)
    model = start.model.among(form)
    return form, (model.centers, model.prices, start.rows)


def form_of(state: dict[str, Any]) -> RowForm:
    """What the rows of the clustering in a checkpoint became; earlier ones made directions of them."""
    return RowForm(**state.get("form", {}))


def cluster_worker(job: ClusterJob, worker: Worker) -> None:
    """Cluster from where the run stands to the end of the last pass, or until it is wished to stop."""
    clustering = Clustering(job, worker)
    with closing(clustering.stops), closing(clustering.stream), closing(clustering.threads):
        done = work_through(clustering, job.task.all_passes)
    if clustering.rank == 0:
        close_record(job.record, done=done, step=clustering.global_step)
