"""`quorum cluster`: from a folder of vectors to labels, centers and sizes; checks, run folder, workers, labels, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

import numpy as np

from pipelines.clustering.config import ClusterConfig
from pipelines.clustering.initial_centers import draw_form
from pipelines.clustering.label_files import FrozenClusters, LabelledFolder
from pipelines.clustering.label_pass import write_labels
from pipelines.clustering.levels.level_clusterings import restored_kmeans
from pipelines.clustering.levels.parent_files import ParentSizes
from pipelines.clustering.levels.repair_levels import RepairedLevels, SizeRatios, repair_levels
from pipelines.clustering.loop import ClusterJob, ClusterTask, cluster_worker, form_of
from pipelines.clustering.repair import Repaired, repair_labels
from pipelines.clustering.result_files import (
    CLUSTERS_FORMAT,
    CLUSTERS_MANIFEST,
    REPORT,
    Head,
    close_result,
    record_result,
    write_tables,
)
from pipelines.clustering.source_images import Images, clusters_by_id, images_of
from pipelines.clustering.warm_start import START, WarmStart
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.image_shards import Dataset
from pipelines.errors import UserError
from pipelines.files.documents import read_document
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE
from pipelines.jobs.worker import Workers
from pipelines.runs.checkpoints import Entry
from pipelines.runs.description import clustering_words
from pipelines.runs.run_folder import CONFIG_FILE, RUN_FILE, Run, write_config
from pipelines.runs.run_job import Task, run_job
from pipelines.secrets import without_secrets
from pipelines.stream.epoch_order import StreamShape
from pipelines.tracking.about.data_input import CLUSTERING, DataInput
from pipelines.tracking.figures import ROWS_PER_SECOND
from pipelines.tracking.mlflow_store import check_run, tracking_uri
from pipelines.tracking.old_figures import by_present_names
from pipelines.tracking.record import Record
from pipelines.words import tell
from pipelines.working_copy.copy_plan import COPY, CopyPlan
from pipelines.working_copy.fitness import why_unfit
from pipelines.working_copy.write_copy import cost, write_copy


@dataclass(frozen=True)
class Clustered:
    """A finished clustering: its folder, and what `report.json` says."""

    run: Run
    report: dict[str, Any]


def cluster(config: ClusterConfig, *, address: str | None = None, resume: str | None = None) -> Clustered:
    """Cluster a folder of vectors and write the result to `config.to`.

    Args:
        config: of the run.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.
        resume: folder of the run to go on with, instead of `config.to`.

    Raises:
        UserError: for input that cannot work, said before a worker starts where it can be known then, or a run that had to stop.
        KeyboardInterrupt: when the user stops it.
    """
    return run_job(Clustering(config, resume), address=address)


class Clustering:
    """A clustering as `run_job` takes it; arguments as of `cluster`."""

    name, open_end = "cluster", False

    def __init__(self, config: ClusterConfig, resume: str | None) -> None:
        self.began, self.resume = time.monotonic(), resume
        self.config = config
        self.resumed: Run | None = None
        self.start: WarmStart | None = None
        self.vectors = EmbeddingFolder.open(config.data, config.column, config.id)
        self.plan: CopyPlan | None = None

    def check(self) -> None:
        """Refuse a configuration that does not go with the vectors, and a folder that is taken or finished."""
        self._find_start()
        self.config.check(self.vectors)
        # Ray Train's workers run in folders of their own, and a resume may come from anywhere.
        to = str(Location.of(self.resume or self.config.to))
        tracking = self.config.tracking.absolute()
        self.config = replace(self.config, data=str(self.vectors.place), to=to, tracking=tracking)
        self.images = images_of(self.vectors)
        if self.resume is None:
            _check_folder(self.config, self.vectors)
            for remark in (*self.vectors.remarks(), *_remarks_of_start(self.config, self.start)):
                tell(remark)
            self.config = _with_copy_settled(self.config, self.vectors)
        else:
            self.resumed = _reopen(self.config, self.vectors)
        self.plan = _plan(self.config, self.vectors) if self.config.copy == "always" else None

    @property
    def place(self) -> Location:
        """Folder of the run."""
        return Location.of(self.config.to)

    @property
    def streamed(self) -> EmbeddingFolder:
        """What the passes read: the vectors, or their copy as it is planned."""
        return self.plan.planned() if self.plan else self.vectors

    def _find_start(self) -> None:
        """The clusters to start from, and their K for a configuration that leaves it to them; a run has its own copy of them."""
        config, kept = self.config, Location.of(self.resume or self.config.to)
        if config.start_from is None:
            return
        if self.resume is not None and (kept / START).exists():
            self.start = WarmStart.read(kept, config.metric)
            return
        self.start = WarmStart.of(config.start_from, self.vectors, config.metric, config.heads, config.passes)
        heads = self.start.model.heads
        place = str(Location.of(config.start_from))
        self.config = replace(config, num_clusters=heads[0] if len(heads) == 1 else heads, start_from=place)

    @property
    def workers(self) -> Workers:
        """As the configuration has them."""
        compute = self.config.compute
        return Workers(compute.workers, compute.cpus_per_worker, compute.gpus, compute.max_failures)

    @property
    def grace(self) -> float:
        """As the configuration has it."""
        return self.config.compute.grace

    def create(self) -> Run:
        """Make the run; one that is gone on with loses its manifest, because its labels are about to change."""
        run = self.resumed or _create(self.config, self.vectors, self.config.shape(self.streamed))
        if self.resumed is not None:
            (run.location / CLUSTERS_MANIFEST).delete_file()
            write_config(run.location, self.config.to_dict())
        if self.start is not None and not (run.location / START).exists():
            self.start.write(run.location)
        return run

    @property
    def reading_seconds(self) -> float | None:
        """As the configuration has it."""
        return self.config.tracking.system_seconds

    @property
    def inputs(self) -> list[DataInput]:
        """The vectors."""
        return [DataInput.of_vectors(self.vectors, CLUSTERING)]

    @property
    def pictured(self) -> tuple[Dataset, str] | tuple[()]:
        """The images that were embedded, where they are still there."""
        return (self.images.dataset, self.images.split) if self.images else ()

    def work(self, run: Run, record: Record) -> Task | None:
        """The passes that are left."""
        if _last_checkpoint(self.config, run) is not None:
            return None
        config, task = self.config, _task(self.config, self.streamed, self.start)
        vectors = write_copy(self.plan) if self.plan else self.vectors
        stored = without_secrets(config.to_dict())
        job = ClusterJob(
            task, vectors, str(run.location), record, run.identity, stored, config.checkpoint.every_steps,
            config.checkpoint.keep_last,
        )  # fmt: skip
        return Task(cluster_worker, job, config.all_passes * task.shape.steps(self.vectors.rows))

    def finish(self, run: Run, record: Record) -> Clustered:
        """Label every row, and write what the clusters are."""
        report = _write_result(self.config, self.vectors, run, record, self.began, self.images, self.start)
        if self.plan and not self.config.keep_copy:
            self.plan.location.delete_folder()
        return Clustered(run, report)


def _check_folder(config: ClusterConfig, vectors: EmbeddingFolder) -> None:
    folder = Location.of(config.to)
    if not vectors.single and folder.lies_in(vectors.location):
        raise UserError(
            f"--to {folder} lies in the folder of the embeddings, where its files would be read as vectors; choose another"
        )
    tracking_uri(config.tracking.uri, folder.parent)  # asked before the storage, which may take its time to refuse
    if (folder / RUN_FILE).exists():
        raise UserError(f"{folder} already holds a run; choose another folder, or go on with it: --resume {quote(str(folder))}")
    if set(folder.children()) - {CONFIG_FILE, NOTE}:  # left behind when MLflow refused the run, or it was killed
        raise UserError(f"{folder} is not empty; choose an empty or absent folder for --to")


def _remarks_of_start(config: ClusterConfig, start: WarmStart | None) -> Iterator[str]:
    """What is not taken over from the clusters that a run starts from."""
    if start is not None and (start.min_size_ratio or 0) > config.min_size_ratio:
        yield (
            f"{config.start_from} kept min_size_ratio {start.min_size_ratio:g}, and this run is asked for "
            f"{config.min_size_ratio:g}: clusters may be smaller, unless --min-size-ratio {start.min_size_ratio:g} is given"
        )
    if start is not None and start.max_size_ratio is not None and config.max_size_ratio is None:
        yield (
            f"{config.start_from} kept max_size_ratio {start.max_size_ratio:g}, which this run is not asked for: clusters may be "
            f"larger, unless --max-size-ratio {start.max_size_ratio:g} is given"
        )


def _far_remark(far: int, minimum: float) -> str:
    return (
        f"{far} of the rows lie more than ten times as far from the mean as rows do in root mean square, too few for a cluster "
        f"of {minimum:.0f}: they may hold a center that no price fills; remove or rescale them, or set min_size_ratio 0"
    )


def _plan(config: ClusterConfig, vectors: EmbeddingFolder) -> CopyPlan:
    return CopyPlan.of(vectors, Location.of(config.to) / COPY, config.copy_dtype, config.seed, config.metric)


def _with_copy_settled(config: ClusterConfig, vectors: EmbeddingFolder) -> ClusterConfig:
    """The configuration with `auto` decided, as the run keeps it; says why a copy is written and what it costs."""
    if config.copy == "never":
        return config
    plan, why = _plan(config, vectors), "as asked"
    if config.copy == "auto":
        form = draw_form(vectors, config.metric, max(config.heads), config.min_size_ratio, config.seed)
        unfit = why_unfit(vectors.in_form(form), config.shape(vectors), plan.group_rows)
        if unfit is None:
            return replace(config, copy="never", keep_copy=False)
        why = f"{vectors.place} is unfit to be streamed as it is: {unfit}"
    tell(f"{why}; {cost(plan)}")
    return replace(config, copy="always")


def _create(config: ClusterConfig, vectors: EmbeddingFolder, shape: StreamShape) -> Run:
    folder = Location.of(config.to)
    params = {
        "batch_size": shape.batch_size, "window": shape.window, "data.rows": vectors.rows, "data.dim": vectors.dim,
    }  # fmt: skip
    return Run.start(
        folder, config.kind, config.to_dict(), vectors.fingerprint,
        uri=config.tracking.uri, experiment=config.tracking.experiment, name=config.name or folder.name, params=params, tags={},
        about=clustering_words(config.to_dict(), rows=vectors.rows, dim=vectors.dim, heads=config.heads),
    )  # fmt: skip


def _reopen(config: ClusterConfig, vectors: EmbeddingFolder) -> Run:
    """The run to go on with; a finished one only where `exact` has something to add."""
    run = Run.open(config.to).go_on(vectors.fingerprint, config.data, config.tracking.uri)
    if (run.location / CLUSTERS_MANIFEST).exists():
        remedy = "remove it, and the labels are taken again"
        if not config.exact or read_document(run.location / CLUSTERS_MANIFEST, CLUSTERS_FORMAT, remedy).get("exact"):
            raise UserError(f"{run.location} is finished; there is nothing to go on with")
        if _last_checkpoint(config, run) is None:
            raise UserError(f"{run.location} is finished and has no checkpoint left, which exact sizes need; cluster again")
    check_run(run.address)
    return run


def _last_checkpoint(config: ClusterConfig, run: Run) -> Entry | None:
    """That of the end of the last pass."""
    entry = run.checkpoints.latest()
    return entry if entry is not None and entry.epoch == config.all_passes else None


def _task(config: ClusterConfig, vectors: EmbeddingFolder, start: WarmStart | None) -> ClusterTask:
    """What the workers need of the configuration."""
    shape = config.shape(vectors)
    return ClusterTask(
        config.heads, config.min_size_ratio, config.max_size_ratio, config.dual_lr, config.passes, shape, config.seed,
        config.metric, None if start is None else start.passes, None if config.levels is None else config.levels[0],
    )  # fmt: skip


def _repaired(config: ClusterConfig, labelled: LabelledFolder) -> Repaired:
    """Labels that keep their bounds, on every level."""
    if config.levels is not None:
        return repair_levels(labelled, SizeRatios(config.min_size_ratio, config.max_size_ratio), gpu=config.compute.gpu)
    least, most = (list(bounds) for bounds in zip(*config.exact_bounds(labelled.vectors.rows), strict=True))
    return repair_labels(labelled, least, most, gpu=config.compute.gpu)


def _write_result(
    config: ClusterConfig,
    vectors: EmbeddingFolder,
    run: Run,
    record: Record,
    began: float,
    images: Images | None,
    start: WarmStart | None,
) -> dict[str, Any]:
    """Labels, then centers, sizes and report, then the manifest."""
    entry = _last_checkpoint(config, run)
    if entry is None:
        raise UserError(f"{run.location} has no checkpoint of its last pass; go on with it: --resume {quote(str(run.location))}")
    state = run.checkpoints.load(entry)
    kmeans = restored_kmeans(_task(config, vectors, start), vectors, state["kmeans"])
    labelling, vectors = time.monotonic(), vectors.in_form(form_of(state))
    old = None if start is None else start.model.among(vectors.form)
    labelled = write_labels(vectors, FrozenClusters.of(kmeans), run.location / "labels", gpu=config.compute.gpu, start=old)
    labels_rate = vectors.rows / (time.monotonic() - labelling)
    repaired = _repaired(config, labelled) if config.exact else None
    if repaired is not None:
        record.tag("quorum.exact", "true")  # the parameter says how the run was started
        labelled = repaired.labelled
    bounds = config.bounds(vectors.rows)
    heads = Head.all_of(labelled, bounds, [{} for _ in config.heads] if repaired is None else repaired.figures())
    moved = repaired.parents_moved if isinstance(repaired, RepairedLevels) else None
    parents = ParentSizes.of(labelled, config.min_size_ratio, config.max_size_ratio, moved)
    if 0 < labelled.far < (largest := max(least for least, _ in bounds)):
        tell(_far_remark(labelled.far, largest))
    report = {
        "rows": vectors.rows, "dim": vectors.dim, "heads": [head.report() for head in heads], "passes": config.passes,
        "seconds": time.monotonic() - began, "rows_per_second": by_present_names(state["figures"]).get(ROWS_PER_SECOND),
        "label_rows_per_second": labels_rate, **({"far_rows": labelled.far} if config.metric == "euclidean" else {}),
        **({} if parents is None else {"parents": parents.report()}),
    }  # fmt: skip
    write_tables(run.location, labelled.model.in_data_units(vectors.form), heads, parents)
    (run.location / REPORT).write_json(report)
    clusters = clusters_by_id(labelled, images) if images else np.empty((len(heads), 0), np.int32)
    record_result(record, entry.global_step, config.all_passes, heads, labels_rate, clusters, parents)
    exact, metric = bool(config.exact), labelled.model.metric
    close_result(run.location, vectors, config.heads, exact=exact, metric=metric, levels=config.levels)
    return report
