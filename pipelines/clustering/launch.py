"""`quorum cluster`: from a folder of vectors to labels, centers and sizes; checks, run folder, workers, labels, report."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.clustering.config import ClusterConfig
from pipelines.clustering.label_files import FrozenClusters
from pipelines.clustering.label_pass import write_labels
from pipelines.clustering.loop import ClusterJob, ClusterTask, cluster_worker, new_kmeans
from pipelines.clustering.repair import repair_labels
from pipelines.clustering.result_files import CLUSTERS_MANIFEST, REPORT, Head, close_result, record_result, write_tables
from pipelines.clustering.source_images import Images, clusters_by_id, images_of
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.jobs.ray_cluster import check_resources, connect
from pipelines.jobs.train_job import Workers, fit, recorded
from pipelines.jobs.watch import Watch
from pipelines.runs.checkpoints import Entry
from pipelines.runs.run_folder import CONFIG_FILE, RUN_FILE, Run, write_config
from pipelines.tracking.figures import ROWS_PER_SECOND
from pipelines.tracking.mlflow_store import tracking_uri
from pipelines.tracking.old_figures import by_present_names
from pipelines.tracking.recorder import start_recorder


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
    began = time.monotonic()
    vectors = EmbeddingFolder.open(config.data, config.column, config.id)
    config.check(vectors)
    # Ray Train's workers run in folders of their own, and a resume may come from anywhere.
    config = replace(config, data=str(vectors.location), to=str(Location.of(resume or config.to)))
    images, run = images_of(vectors), None
    if resume is None:
        _check_folder(config, vectors)
    else:
        run = _reopen(config, vectors)
    alone = connect(address, local_cpus=config.compute.workers * config.compute.cpus_per_worker + 1)
    check_resources(config.compute.workers, config.compute.cpus_per_worker, gpus=config.compute.gpus, grows=not alone)
    if run is None:
        run = _create(config, vectors)
    else:
        (run.location / CLUSTERS_MANIFEST).delete_file()  # of a finished run: its labels are about to change
        write_config(run.location, config.to_dict())
    shown = (images.dataset, images.split) if images else ()
    recorder = start_recorder(str(run.local_folder), str(run.location), run.address, *shown)
    with recorded(recorder):
        if _last_checkpoint(config, run) is None:
            _learn(config, _job(config, vectors, run, recorder))
        report = _write_result(config, vectors, run, recorder, began, images)
    return Clustered(run, report)


def _check_folder(config: ClusterConfig, vectors: EmbeddingFolder) -> None:
    folder = Location.of(config.to)
    if f"{folder.path}/".startswith(f"{vectors.location.path}/"):
        raise UserError(
            f"--to {folder} lies in the folder of the embeddings, where its files would be read as vectors; choose another"
        )
    tracking_uri(config.tracking.uri, folder.parent)  # asked before the storage, which may take its time to refuse
    if (folder / RUN_FILE).exists():
        raise UserError(f"{folder} already holds a run; choose another folder, or go on with it: --resume {folder}")
    if set(folder.children()) - {CONFIG_FILE}:  # which is left behind when MLflow refused the run
        raise UserError(f"{folder} is not empty; choose an empty or absent folder for --to")


def _create(config: ClusterConfig, vectors: EmbeddingFolder) -> Run:
    folder, shape = Location.of(config.to), config.shape(vectors)
    params = {
        "batch_size": shape.batch_size, "window": shape.window, "data.rows": vectors.rows, "data.dim": vectors.dim,
    }  # fmt: skip
    return Run.start(
        folder, config.kind, config.to_dict(), vectors.fingerprint,
        uri=config.tracking.uri, experiment=config.tracking.experiment, name=config.name or folder.name, params=params, tags={},
    )  # fmt: skip


def _reopen(config: ClusterConfig, vectors: EmbeddingFolder) -> Run:
    """The run to go on with; a finished one only where `exact` has something to add."""
    run = Run.open(config.to).go_on(vectors.fingerprint, config.data, config.tracking.uri)
    if (run.location / CLUSTERS_MANIFEST).exists():
        if not config.exact or (run.location / CLUSTERS_MANIFEST).read_json().get("exact"):
            raise UserError(f"{run.location} is finished; there is nothing to go on with")
        if _last_checkpoint(config, run) is None:
            raise UserError(f"{run.location} is finished and has no checkpoint left, which exact sizes need; cluster again")
    return run


def _last_checkpoint(config: ClusterConfig, run: Run) -> Entry | None:
    """That of the end of the last pass."""
    entry = run.checkpoints.latest()
    return entry if entry is not None and entry.epoch == config.passes else None


def _job(config: ClusterConfig, vectors: EmbeddingFolder, run: Run, recorder: Any) -> ClusterJob:
    """What the workers need of all this."""
    task = ClusterTask(
        config.heads, config.min_size_ratio, config.dual_lr, config.passes, config.shape(vectors), config.seed,
    )  # fmt: skip
    checkpoint = config.checkpoint
    return ClusterJob(
        task, vectors, str(run.location), recorder, run.identity, config.to_dict(), checkpoint.every_steps, checkpoint.keep_last
    )


def _learn(config: ClusterConfig, job: ClusterJob) -> None:
    """All passes that are left, on the workers."""
    steps = job.task.shape.steps(job.vectors.rows)
    workers = Workers(config.compute.workers, config.compute.cpus_per_worker, config.compute.gpus, config.compute.max_failures)
    with Watch("cluster", job.recorder, config.passes * steps):
        fit(cluster_worker, job, workers)


def _write_result(
    config: ClusterConfig, vectors: EmbeddingFolder, run: Run, recorder: Any, began: float, images: Images | None
) -> dict[str, Any]:
    """Labels, then centers, sizes and report, then the manifest."""
    entry = _last_checkpoint(config, run)
    if entry is None:
        raise UserError(f"{run.location} has no checkpoint of its last pass; go on with it: --resume {run.location}")
    state = run.checkpoints.load(entry)
    kmeans = new_kmeans(_job(config, vectors, run, recorder).task, vectors)
    kmeans.load_state_dict(state["kmeans"])
    labelling = time.monotonic()
    labelled = write_labels(vectors, FrozenClusters.of(kmeans), run.location / "labels", gpu=config.compute.gpu)
    labels_rate = vectors.rows / (time.monotonic() - labelling)
    exact: list[dict[str, float]] = [{} for _ in config.heads]
    if config.exact:
        repaired = repair_labels(labelled, config.exact_minimums(vectors.rows), gpu=config.compute.gpu)
        recorder.tag.remote("quorum.exact", "true")  # the parameter says how the run was started
        labelled, exact = repaired.labelled, repaired.figures()
    heads = Head.all_of(labelled, config.minimums(vectors.rows), exact)
    report = {
        "rows": vectors.rows, "dim": vectors.dim, "heads": [head.report() for head in heads], "passes": config.passes,
        "seconds": time.monotonic() - began, "rows_per_second": by_present_names(state["figures"]).get(ROWS_PER_SECOND),
        "label_rows_per_second": labels_rate,
    }  # fmt: skip
    write_tables(run.location, labelled.model, heads)
    (run.location / REPORT).write_json(report)
    clusters = clusters_by_id(labelled, images) if images else np.empty((len(heads), 0), np.int32)
    record_result(recorder, entry.global_step, config.passes, heads, labels_rate, clusters)
    close_result(run.location, vectors, config.heads, exact=config.exact)
    return report
