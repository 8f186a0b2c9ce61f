"""Quorum: shards through Ray Data, uint8 crops on the host."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.images.host_side import open_stream, plain_views
from benchmarks.images.photos import photo_shards
from benchmarks.input_side.job import Epoch, Job
from pipelines.datasets.image_shards import Dataset
from pipelines.jobs.ray_cluster import connect
from pipelines.stream.epoch_order import StreamShape


def prepare(job: Job) -> None:
    """Make the shards."""
    connect("local", local_cpus=job.processes)
    photo_shards(job.work, job.images)


def start(job: Job) -> Epoch:
    """Ray, and the only worker's stream; each epoch but the last prepares the next."""
    connect("local", local_cpus=job.processes)
    shape = StreamShape(job.batch_size, job.lanes, job.window)
    stream = open_stream(Dataset.open(str(job.work / f"shards-{job.images}")), shape, plain_views(job.size, job.views))

    def epoch(number: int) -> Iterator[int]:
        for _, host in stream.pipelines.epoch(number, 0, last=number == job.epochs):
            yield len(host.ids)

    return epoch
