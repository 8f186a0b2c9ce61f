"""The worker loop of `quorum probe`: logits of augmented images, one SGD step a global batch, scores on whole splits."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from algos.class_scores import MOST, Guesses
from algos.distributed.collectives import is_distributed, one_worker_at_a_time
from algos.methods.method import Batch
from algos.networks import ProbedNetwork
from algos.precision import Autocast, Precision
from algos.scores import accuracy
from pipelines.datasets.label_selection import numbers_of_classes
from pipelines.evaluation.class_tables import class_figures, class_table
from pipelines.evaluation.features import center_batches
from pipelines.files.location import Location
from pipelines.jobs.epochs import close_record, work_through
from pipelines.jobs.stop_watch import StopWatch
from pipelines.jobs.worker import Worker
from pipelines.probing.labelled_images import LabelledImages
from pipelines.runs.checkpoints import CheckpointStore, save_together
from pipelines.runs.trained_model import Trained
from pipelines.stream.epoch_order import USUAL_WINDOW, StreamShape
from pipelines.stream.epoch_stream import EpochStream
from pipelines.stream.images.image_stream import ImageSource
from pipelines.tracking import figures as names
from pipelines.tracking.record import Record
from pipelines.training.meter import Meter
from pipelines.training.optimizer import learning_rate
from pipelines.views.augment import normalize

LOG_STEPS = 20
MOMENTUM = 0.9
LOWER = "start a new probe with a lower lr"


@dataclass(frozen=True)
class ProbeTask:
    """How a probe is trained.

    Attributes:
        place: checkpoint whose backbone it is on.
        untrained: whether with the initial weights.
        epochs: all.
        shape: how an epoch is cut.
        rates: peak learning rate of each classifier, for this batch.
        backbone_rate: of the backbone; 0 freezes it.
        crop: range of a crop's share of the image's area.
        flip: probability of a flip.
        score_epochs: epochs between two scores on val.
        scored: splits with labels that are scored at the end; where `val` is one, it chooses the classifier.
        seed: of order and crops.
    """

    place: str
    untrained: bool
    epochs: int
    shape: StreamShape
    rates: list[float]
    backbone_rate: float
    crop: tuple[float, float]
    flip: float
    score_epochs: int
    scored: list[str]
    seed: int

    @property
    def by(self) -> str:
        """What guesses, as figures name it."""
        return "finetune" if self.backbone_rate else "probe"


@dataclass(frozen=True)
class ProbeJob:
    """What the driver hands every worker: the task, the images, and the run's folder, record, identity and configuration."""

    task: ProbeTask
    images: LabelledImages
    run: str
    record: Record
    identity: dict[str, str]
    config: dict[str, Any]


def probe_shape(batch_size: int, lanes: int) -> StreamShape:
    """How an epoch over so many rows a batch is cut."""
    return StreamShape(batch_size, lanes, USUAL_WINDOW)


class Probe:
    """One worker's network, stream and place in the run; restored from the newest checkpoint, if any."""

    def __init__(self, job: ProbeJob, worker: Worker) -> None:
        self.job, self.task, self.worker = job, job.task, worker
        worker.claim_device()
        self.stops = StopWatch(worker.wished, worker.announced)
        trained, images, task = Trained.open(job.task.place), job.images, job.task
        self.data, self.view = trained.dataset, trained.view
        self.labels = torch.from_numpy(images.labels())
        network = ProbedNetwork(
            trained.method(untrained=task.untrained).backbone, len(images.classes), len(task.rates),
            trains_backbone=task.backbone_rate > 0,
        )  # fmt: skip
        self.plain = network.to(worker.device)
        self.precision = Precision(trained.precision, worker.device)
        self.network = Autocast(self._wrapped(), self.precision)
        self.optimizer = torch.optim.SGD(self._groups(), lr=0.0, momentum=MOMENTUM)
        source = ImageSource.cropped(images.dataset, images.split, self.view, task.crop, task.flip, worker.device)
        self.stream = EpochStream(
            source, task.shape, seed=task.seed, rank=worker.rank, workers=worker.count, beside=worker.beside
        )
        self.meter = Meter(worker.device, LOWER)
        self.epoch, self.step = 0, 0
        self.store = CheckpointStore(Location.of(job.run) / "checkpoints", keep_last=1)
        if (entry := self.store.latest()) is not None:
            self._restore(self.store.load(entry))

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and step to do next."""
        return self.epoch, self.step

    @property
    def global_step(self) -> int:
        """Steps since the start."""
        return self.epoch * self.stream.steps + self.step

    def _wrapped(self) -> nn.Module:
        if not is_distributed():
            return self.plain
        on = [self.worker.device] if self.worker.device.type == "cuda" else None
        return DistributedDataParallel(self.plain, device_ids=on, broadcast_buffers=False)

    def _groups(self) -> list[dict[str, Any]]:
        """A group a classifier, and one of the backbone where it is trained; nothing decays."""
        groups = [{"params": list(each.parameters()), "peak": rate} for each, rate in self._rated()]
        if self.task.backbone_rate:
            groups.append({"params": list(self.plain.backbone.parameters()), "peak": self.task.backbone_rate})
        return groups

    def _rated(self) -> list[tuple[nn.Module, float]]:
        return list(zip(self.plain.probes, self.task.rates, strict=True))

    def begin_epoch(self, epoch: int) -> None:
        """Nothing: all that a step needs follows from its place."""

    def take_step(self, epoch: int, step: int, batch: Batch) -> None:
        """One global batch, and the figures that are due after it."""
        self.train(batch)
        _log(self)

    def save_within(self) -> None:
        """Checkpoint in the middle of an epoch."""
        self.save()

    def end_epoch(self, epoch: int) -> None:
        """Figures, scores where they are due, and a checkpoint."""
        _end_epoch(self)

    def train(self, batch: Batch) -> None:
        """One global batch."""
        task, rows = self.task, len(batch.ids)
        done = self.epoch + self.step / self.stream.steps
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(done, task.epochs, peak=group["peak"], warmup_epochs=0)
        truth = self.labels[batch.ids].to(self.worker.device, non_blocking=True)
        losses = torch.stack([F.cross_entropy(logits, truth) for logits in self.network(batch.large[0])])
        # DDP averages over workers: this weight makes it the mean over the rows of the global batch.
        self.precision.scaler.scale(losses.sum() * (rows * self.worker.count / task.shape.batch_size)).backward()
        self.precision.scaler.step(self.optimizer)
        self.precision.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.meter.add(losses.mean(), rows)
        self.step += 1

    @torch.no_grad()
    def guesses(self, split: str) -> tuple[list[Guesses], Tensor]:
        """What each classifier guesses for all rows of a split, and their classes (M,), on every worker.

        Raises:
            RuntimeError: if a row came twice or not at all.
        """
        device, view, probes = self.worker.device, self.view, len(self.task.rates)
        mine = [torch.empty(0, 2 + probes * 2 * self._kept, dtype=torch.float64)]
        for ids, truth, images in center_batches(self.data, split, view, rank=self.worker.rank, workers=self.worker.count):
            pixels = normalize(images.to(device).float() / 255, view.mean, view.std)
            with self.precision.autocast():
                found = [Guesses.of_logits(logits) for logits in self.plain(pixels)]
            columns = [part.double().cpu() for each in found for part in (each.classes, each.shares)]
            mine.append(torch.cat([torch.from_numpy(ids)[:, None], torch.from_numpy(truth)[:, None], *columns], dim=1))
        rows = torch.cat(list(one_worker_at_a_time(torch.cat(mine))))
        expected, distinct = self.data.split(split).rows, len(rows[:, 0].unique())
        if not len(rows) == distinct == expected:
            raise RuntimeError(f"{len(rows)} rows of {split} were scored, {distinct} of them distinct, {expected} expected")
        parts = rows[:, 2:].split(self._kept, dim=1)
        return [Guesses(parts[2 * i].long(), parts[2 * i + 1].float()) for i in range(probes)], self._in_classes(rows[:, 1])

    @property
    def _kept(self) -> int:
        return min(MOST, len(self.job.images.classes))

    def _in_classes(self, truth: Tensor) -> Tensor:
        """Classes of the data set as the classifier numbers them."""
        numbers = torch.tensor(numbers_of_classes(self.data.classes, self.job.images.classes))
        return numbers[truth.long()]

    def save(self, scored: dict[str, Any] | None = None) -> None:
        """Checkpoint with the place as the next to do, and at the end what was `scored`. All workers call it together.

        Raises:
            UserError: on every worker, when the storage refused.
        """
        self.meter.exchange(self.global_step)
        network = self.plain if self.task.backbone_rate else self.plain.probes
        state = {
            "epoch": self.epoch, "step": self.step, "identity": self.job.identity, "config": self.job.config,
            "network": network.state_dict(), "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(), "meter": self.meter.state_dict(), "scored": scored,
        }  # fmt: skip
        save = partial(self.store.save, state, epoch=self.epoch, step=self.step, global_step=self.global_step)
        save_together(save, self.worker.rank)

    def _restore(self, state: dict[str, Any]) -> None:
        (self.plain if self.task.backbone_rate else self.plain.probes).load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.scaler.load_state_dict(state["scaler"])
        self.meter.load_state_dict(state["meter"])
        self.epoch, self.step = state["epoch"], state["step"]


def probe_worker(job: ProbeJob, worker: Worker) -> None:
    """Train from where the run stands to the last epoch, or until it is wished to stop."""
    probe = Probe(job, worker)
    with closing(probe.stops), closing(probe.stream):
        done = work_through(probe, job.task.epochs)
    if worker.rank == 0:
        close_record(job.record, done=done, step=probe.global_step)


def _log(probe: Probe) -> None:
    if probe.global_step % LOG_STEPS:
        return
    probe.meter.waited(probe.stream.take_waited())
    figures = probe.meter.read(probe.global_step) | {names.LEARNING_RATE: probe.optimizer.param_groups[0]["lr"]}
    note = f"epoch {probe.epoch + 1}/{probe.task.epochs}  loss {figures[names.LOSS]:.3f}"
    if probe.worker.rank == 0:
        probe.job.record.metrics(figures, probe.global_step, note)


def _end_epoch(probe: Probe) -> None:
    """Figures, scores where they are due, and a checkpoint."""
    task, epoch = probe.task, probe.epoch
    probe.meter.check_weights(probe.plain, probe.global_step)
    figures = {names.EPOCH_LOSS: probe.meter.read_epoch(probe.global_step), names.ROWS_LEFT_OUT: float(probe.stream.left_out)}
    probe.epoch, probe.step = epoch + 1, 0
    last, scored = probe.epoch == task.epochs, None
    if last:
        scored = _final_scores(probe)
        figures |= scored["figures"]
    elif names.VAL in task.scored and probe.epoch % task.score_epochs == 0:
        found, truth = probe.guesses(names.VAL)
        best = max(accuracy(each.first, truth) for each in found)
        figures |= names.of_split(names.of_guesses(task.by, {"top1": best}), names.VAL)
    if probe.worker.rank == 0:  # before the checkpoint: what is done again is told again, and what is not must be told
        probe.job.record.epoch(epoch, probe.global_step, figures, None, pictures=False)
    probe.save(scored)
    probe.worker.report(figures | {names.EPOCH: epoch})


def _final_scores(probe: Probe) -> dict[str, Any]:
    """Figures of all splits and the table of the classes of the last one, by the classifier that is best on val."""
    task, classes = probe.task, probe.job.images.classes
    chosen, figures, table = 0, dict[str, float](), None
    for split in task.scored:  # val comes first
        found, truth = probe.guesses(split)
        if split == names.VAL:
            rights = [accuracy(each.first, truth) for each in found]
            chosen = rights.index(max(rights))
        figures |= names.of_split(class_figures(task.by, found[chosen], truth, len(classes)), split)
        table = class_table({task.by: found[chosen]}, truth, classes).to_pylist()
    return {"figures": figures, "chosen": chosen, "table": table, "split": task.scored[-1]}
