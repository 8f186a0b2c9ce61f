"""A step of a published recipe: against a step of the same network on a fixed tensor, and against what the stream brings."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import torch

from algos.methods.method import Batch
from benchmarks.gpu.clock import device_seconds, in_turn, seconds
from benchmarks.gpu.results import Row
from benchmarks.sources.in_place import write_parquet
from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.in_place.index import index
from pipelines.ingest.recognise import open_source
from pipelines.jobs.ray_cluster import connect
from pipelines.jobs.worker import Worker
from pipelines.stream.images.image_stream import HostImages
from pipelines.training.loop import train_step
from pipelines.training.optimizer import update
from pipelines.training.session import Session, TrainingJob

RECIPES = Path(__file__).parents[2] / "quorum" / "recipes"
MEGABYTES = 1100  # some 15,000 photographs: the published numbers of clusters want more than 5,000
TIMES, ROUNDS = 6, 3
EPOCHS = 2  # of the stream
STEPPED = (
    ("coke_imagenet_2view", "bf16"),
    ("coke_imagenet_1view", "bf16"),
    ("coke_imagenet_1view", "fp16"),
    ("coke_imagenet_multicrop", "bf16"),
    ("coke_vit_imagenet", "bf16"),
)


def photographs(work: Path) -> Dataset:
    """Photographs in Parquet, indexed in place; Ray must run."""
    folder = write_parquet(work / "photos", MEGABYTES, work / "jpegs")
    return index(open_source(str(folder)), str(work / "index"), "photos", overwrite=True)


def new_session(dataset: Dataset, recipe: str, rows: int, work: Path, **settings: str) -> Session:
    """The only worker's session, on the first GPU."""
    words = {"data": str(dataset.location), "batch_size": str(rows), "compute.workers": "1", "stream.lanes": "8"} | settings
    config = read_recipe(str(RECIPES / f"{recipe}.yaml"), PretrainConfig, words)
    job = TrainingJob(config, dataset, str(work / recipe), record=None, identity={})
    return Session(job, Worker(0, 1, 1, torch.device("cuda", 0)))


class Steps:
    """Steps of a session on batches that are ready: whole ones, and those of the network alone.

    Args:
        session: in its second epoch, the first that trains.
        host: a batch as it leaves Ray Data.
    """

    def __init__(self, session: Session, host: list[HostImages]) -> None:
        self.session, self.host, self.order = session, cycle(host), session.stream.order(1)
        session.method.begin_epoch(1)
        self.batch = self.next_batch()
        self.views = [[view.clone() for view in group] for group in (self.batch.large, self.batch.small) if group]

    def next_batch(self) -> Batch:
        """A batch with its augmentation finished."""
        session = self.session
        return session.stream.source.to_device(next(self.host), self.order, session.stream.lanes, 0)

    def whole(self) -> None:
        """From pixels on the host to new weights, centers and prices."""
        train_step(self.session, 1, 0, self.next_batch())

    def ready(self) -> None:
        """From views that are on the device."""
        train_step(self.session, 1, 0, self.batch)

    def network(self) -> None:
        """Forward, backward and update on a fixed tensor, with a loss that costs nothing."""
        session = self.session
        loss = torch.stack([torch.stack([*z, *p]).mean() for z, p in session.network(self.views)]).sum()
        session.precision.scaler.scale(loss).backward()
        update(session.optimizer, session.precision.scaler, session.config.optimizer.clip_norm)

    def clustering(self) -> None:
        """What a step asks of the clustering: memory, labels, statistics, centers and prices."""
        method, batch = self.session.method, self.batch
        embeddings = torch.nn.functional.normalize(torch.randn_like(self.embedded), dim=1)
        fresh = method._cluster(batch, embeddings)
        method.changes.known(method.memory.lookup(batch.ids, fresh.device), fresh)
        method.begin_update()
        method.finish_update()

    @property
    def embedded(self) -> torch.Tensor:
        """Room for embeddings of a batch (B, D)."""
        return torch.empty(len(self.batch.ids), self.session.config.method.dim, device=self.session.device)


def host_batches(session: Session, count: int) -> list[HostImages]:
    """Some batches as they leave Ray Data."""
    batches = session.stream.pipelines.epoch(0, 0, last=True)
    found = [host for _, host in islice(batches, count)]
    batches.close()
    return found


def step_rows(dataset: Dataset, work: Path, rows: int) -> Iterator[Row]:
    """Of each recipe: images a second of whole steps, and the network's share of their time."""
    for recipe, precision in STEPPED:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            session = new_session(dataset, recipe, rows, Path(folder), **{"compute.precision": precision})
            steps = Steps(session, host_batches(session, 3))
            whole, ready, network = in_turn([steps.whole, steps.ready, steps.network], TIMES, ROUNDS)
            clustering, on_device = seconds(steps.clustering, 50), device_seconds(steps.clustering, 50)
            torch.cuda.reset_peak_memory_stats()
            steps.whole()
            yield {
                "recipe": recipe, "precision": precision, "batch": rows, "images/s": rows / whole, "step ms": 1e3 * whole,
                "network / step": network / whole, "network / step, views ready": network / ready,
                "clustering / step": clustering / whole, "its kernels / step": on_device / whole,
                "peak GiB": torch.cuda.max_memory_allocated() / 2**30,
            }  # fmt: skip
            session.stream.close()


def stream_rows(dataset: Dataset, work: Path, rows: int) -> Iterator[Row]:
    """Images a second that Ray Data brings, and that training makes of them, against the card's appetite."""
    for recipe, decode in product(("coke_imagenet_2view", "coke_imagenet_1view"), ("cpu", "gpu")):
        with tempfile.TemporaryDirectory(dir=work) as folder:
            session = new_session(dataset, recipe, rows, Path(folder), **{"stream.decode": decode})
            steps = Steps(session, host_batches(session, 3))
            seconds(steps.whole, TIMES)
            appetite = rows / seconds(steps.whole, TIMES)
            brought = rate(len(host.ids) for _, host in epochs(session, session.stream.pipelines.epoch, 2))
            session.stream.take_waited()
            trained = rate(trained_rows(session, 2 + EPOCHS))
            yield {
                "recipe": recipe, "decode": decode,
                "appetite images/s": appetite, "stream images/s": brought, "training images/s": trained,
                "stream / appetite": brought / appetite, "training / appetite": trained / appetite,
                "s without a batch": session.stream.take_waited(),
            }  # fmt: skip
            session.stream.close()


def epochs(session: Session, source: Callable[..., Iterator[Any]], first: int) -> Iterator[Any]:
    """Steps of some epochs: of short ones the next is made beside the present one, and only their mean says what is brought."""
    for epoch in range(first, first + EPOCHS):
        yield from source(epoch, 0, last=epoch + 1 == first + EPOCHS)


def trained_rows(session: Session, first: int) -> Iterator[int]:
    """Rows of each step that trains on what the stream brings."""
    for step, batch in epochs(session, session.stream.epoch, first):
        train_step(session, 1, step, batch)
        yield len(batch.ids)


def rate(sizes: Iterator[int]) -> float:
    """Rows a second from the third batch on."""
    for _ in range(3):
        next(sizes)
    torch.cuda.synchronize()
    began, rows = time.perf_counter(), sum(sizes)
    torch.cuda.synchronize()
    return rows / (time.perf_counter() - began)


def prepared(work: Path) -> Dataset:
    """Start a local Ray, which leaves this process two CPUs as the recipes do, and make the photographs."""
    connect("local", local_cpus=max((os.cpu_count() or 1) - 2, 1))
    return photographs(work)
