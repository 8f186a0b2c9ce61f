"""One worker's session without Ray Train, and steps of it from the shards."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.distributed as dist

from algos.methods.method import Batch
from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig, TrainingConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.jobs.worker import Worker
from pipelines.training.loop import train_step
from pipelines.training.session import Session, TrainingJob
from tests.helpers.pages.words import settings_of
from tests.helpers.places import COKE_DIGITS
from tests.helpers.runs.steps import steps_of

SMALL = [
    "--backbone", '{"name": "wrn-10-1", "stem": "auto", "options": {}}', "--batch_size", "64", "--optimizer.warmup_epochs", "0",
]  # fmt: skip
CPU = torch.device("cpu")


def new_session(
    digits: str, folder: str, *overrides: str, device: torch.device = CPU, recipe: str = COKE_DIGITS,
    kind: type[TrainingConfig] = PretrainConfig,
) -> Session:  # fmt: skip
    config = read_recipe(recipe, kind, settings_of(["--data", digits, "--epochs", "9", *overrides]))
    rank, workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    job = TrainingJob(config, Dataset.open(digits), folder, record=None, identity={"data": "none"})
    return Session(job, Worker(rank, workers, workers, device, node="here"))


def batches(made: Session, epoch: int, most: int) -> Iterator[tuple[int, Batch]]:
    """The first steps of an epoch, as the stream's tasks and its worker make them."""
    stream = made.stream
    source, order = stream.source, stream.order(epoch)
    reader = source.reader(order, stream.lanes, 0)
    for step, columns in enumerate(steps_of(reader, stream.shape.lane_rows * len(stream.lanes), [0])):
        if step < most:
            yield step, source.to_device(source.to_host([columns]), order, stream.lanes, step)


def train_steps(made: Session, epoch: int, most: int) -> None:
    made.method.begin_epoch(epoch)
    for step, batch in batches(made, epoch, most):
        train_step(made, epoch, step, batch)
    made.exchange()
