"""What real workers send, counted by the operating system: steps of the training loop in a gloo group on this machine."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from algos.methods.method import Batch, LabelledRows
from benchmarks.traffic.payloads import Payloads
from pipelines.config.training_config import SemisupConfig, TrainingConfig
from pipelines.config.training_plan import step_rows
from pipelines.datasets.image_shards import Dataset
from pipelines.jobs.worker import Worker
from pipelines.training.loop import train_step
from pipelines.training.session import Session, TrainingJob

STEPS = 4  # that are counted, after one that is not
EXCHANGED = 200  # batches: enough that the frames of messages weigh little


@dataclass(frozen=True)
class Counted:
    """Bytes that a worker sends, the mean over the workers; by the formula, and counted.

    Attributes:
        payloads: before they are divided.
        workers: W.
        instances: whose rows were exchanged, each time that they were seen.
        step: of gradients and clustering together.
        clustering: of a step without gradients.
        exchange: of an epoch's end.
    """

    payloads: Payloads
    workers: int
    instances: int
    step: float
    clustering: float
    exchange: float

    @property
    def parts(self) -> dict[str, tuple[float, float]]:
        """Of each part what was counted and what the formula says."""
        return {
            "gradients": (self.step - self.clustering, self.payloads.sent("gradients", self.workers)),
            "clustering": (self.clustering, self.payloads.sent("clustering", self.workers)),
            "exchange": (self.exchange, self.payloads.exchanged(self.workers, self.instances)),
        }


def count(config: TrainingConfig, dataset: Dataset, workers: int) -> Counted:
    """Train a few steps on made-up pixels with so many workers, and count what they send."""
    with mp.get_context("spawn").Manager() as manager, tempfile.TemporaryDirectory() as folder:
        found = manager.dict()
        mp.spawn(_worker, (workers, folder, config, dataset, found), nprocs=workers)
        each = [found[rank] for rank in range(workers)]
    step, clustering, exchange = (sum(column) / workers for column in zip(*(sent for _, _, sent in each), strict=True))
    return Counted(each[0][0], workers, each[0][1], step, clustering, exchange)


def image_row_bytes(config: TrainingConfig, dataset: Dataset, folder: Path) -> float:
    """Bytes of a row of the first step as it leaves Ray Data; Ray must run."""
    job = TrainingJob(config, dataset, str(folder), record=None, identity={})
    session = Session(job, Worker(0, 1, 1, torch.device("cpu")))
    with closing(session.stream.pipelines.epoch(0, 0, last=True)) as batches:
        _, host = next(batches)
    return (host.ids.nbytes + host.labels.nbytes + sum(view.nbytes for view in host.views)) / len(host.ids)


def _worker(rank: int, workers: int, folder: str, config: TrainingConfig, dataset: Dataset, found: dict[int, Any]) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)  # of an argument of DDP's that older torch needs
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=workers)
    job = TrainingJob(config, dataset, f"{folder}/run", record=None, identity={})
    session = Session(job, Worker(rank, workers, workers, torch.device("cpu")))
    method, batches = session.method, [made_up(session, number) for number in range(EXCHANGED)]
    method.begin_epoch(1)

    def learn_clusters(batch: Batch = batches[0]) -> None:
        with torch.no_grad():
            method.loss(method.network, batch)
            method.begin_update()
            method.finish_update()

    step = sent(lambda: train_step(session, 1, 0, batches[0]))
    clustering = sent(learn_clusters)
    method.exchange()
    for batch in batches:
        learn_clusters(batch)
    exchange = sent(method.memory.exchange, times=1)
    instances = EXCHANGED * step_rows(config)
    found[rank] = Payloads.of(method, config.views), instances, (step, clustering, exchange)
    dist.barrier()
    dist.destroy_process_group()


def sent(action: Callable[[], object], times: int = STEPS) -> float:
    """Bytes that this process sends while it does something, a time; all workers do it together.

    Of several times one more goes before them: what is set up once is not counted.
    """
    if times > 1:
        action()
    dist.barrier()
    process = psutil.Process()
    before = process.io_counters().write_chars  # to sockets, as gloo does, and to files, which is not done here
    for _ in range(times):
        action()
    after = process.io_counters().write_chars
    dist.barrier()
    return (after - before) / times


def made_up(session: Session, number: int) -> Batch:
    """A worker's rows of the step of a number, of random pixels."""
    config, rank, workers = session.config, session.rank, session.workers
    generator = torch.Generator().manual_seed(rank)
    rows = step_rows(config) // workers
    views = [torch.randn(rows, 3, view.size, view.size, generator=generator) for view in config.views.flat]
    labelled = None
    if isinstance(config, SemisupConfig):
        few = config.batch_size // workers
        size = config.views.flat[0].size
        images = torch.randn(few, 3, size, size, generator=generator)
        labelled = LabelledRows(images, torch.randint(len(session.dataset.classes), (few,), generator=generator))
    ids = (torch.arange(rows) + (number * workers + rank) * rows) % session.images.rows.ids
    return Batch(ids, views[: config.views.num_large], views[config.views.num_large :], labelled)
