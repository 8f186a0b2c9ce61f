"""Everything one worker holds while it trains: how it is built, restored and saved."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from algos.distributed.collectives import is_distributed, mean_over_workers
from algos.distributed.nodes import Node
from algos.methods.method import Method
from algos.precision import Autocast, Precision
from algos.row_draws import RowDraws, Share, follow_rows
from pipelines.config.training_config import TrainingConfig
from pipelines.config.training_plan import build_method, deciding_score, scores_of, step_rows, stream_shape
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.scored_split import observed_split
from pipelines.files.location import Location
from pipelines.free_memory import free_bytes
from pipelines.jobs.stop_watch import StopWatch
from pipelines.jobs.worker import Worker
from pipelines.runs.checkpoints import CheckpointStore, Entry, save_together
from pipelines.runs.trained_model import new_backbone, start_from
from pipelines.runs.training_inputs import evaluation_view, open_selection
from pipelines.secrets import without_secrets
from pipelines.stream.epoch_order import lanes_of_worker
from pipelines.stream.epoch_stream import EpochStream
from pipelines.stream.images.decoded_rows import codec_of
from pipelines.stream.images.image_stream import ImageSource
from pipelines.tracking.record import Record
from pipelines.training.collapse import CollapseKeys
from pipelines.training.meter import Meter
from pipelines.training.optimizer import build_optimizer, learning_rate, set_rates, update, weight_decay_at


@dataclass(frozen=True)
class TrainingJob:
    """What the driver hands every worker.

    Attributes:
        config: of the run.
        dataset: that it trains on, as the driver opened it.
        run: its folder, a path or URI.
        record: of the run.
        identity: of the run, kept in each checkpoint: MLflow run id, data fingerprint, versions.
        labelled: table of the labelled rows in Ray's object store, where the run has a selection.
        until: epoch to stop before; null for the run's end.
    """

    config: TrainingConfig
    dataset: Dataset
    run: str
    record: Record
    identity: dict[str, str]
    labelled: Any = None
    until: int | None = None


def keys_of(config: TrainingConfig) -> CollapseKeys:
    """The settings of a configuration that a collapse may come from."""
    method, optimizer = config.method, config.optimizer
    return CollapseKeys(
        getattr(method, "min_size_ratio", None), getattr(method, "dual_lr", None), optimizer.lr,
        clips=optimizer.clip_norm is not None, warmup_epochs=optimizer.warmup_epochs,
        assignment=getattr(method, "assignment", "constrained"),
    )  # fmt: skip


class Session:
    """One worker's networks, method, optimiser, stream and place in the run; restored from the newest checkpoint, if any."""

    def __init__(self, job: TrainingJob, worker: Worker) -> None:
        config = self.config = job.config
        self.job, self.worker = job, worker
        self.rank, self.workers, self.device = worker.rank, worker.count, worker.device
        worker.claim_device(config.compute.threads)
        self.stops = StopWatch(worker.wished, worker.announced)
        self.saved_at = -1  # global step of the last checkpoint of this process
        self.dataset = job.dataset
        self.scored, _ = scores_of(config, job.dataset)  # the split that scores are of
        self.observed = observed_split(job.dataset, config.monitor.split, trained=config.stream.split)
        self.decides = deciding_score(config, job.dataset)
        self.view = evaluation_view(config)
        self.images = ImageSource(
            job.dataset, config.stream.split, config.views, config.stream.normalization, self.device, job.labelled,
            self.view.showing, codec_of(self.device) if config.stream.decode == "gpu" else None,
        )  # fmt: skip
        self.stream = EpochStream(
            self.images, stream_shape(config), seed=config.seed, rank=self.rank, workers=self.workers, beside=worker.beside
        )
        torch.manual_seed(config.seed)  # initial weights, the same on every worker
        backbone = new_backbone(config)
        if config.compute.channels_last:  # before a method copies it
            backbone.to(memory_format=torch.channels_last)
        run = Location.of(job.run)
        self.store = CheckpointStore(run / "checkpoints", config.checkpoint.keep_last)
        entry = self.store.latest()
        if entry is None:
            start_from(backbone, config, run)
        self.node = Node.meet(worker.node or str(self.rank), free_bytes())
        method = build_method(config, backbone, self.dataset, open_selection(config), self.node)
        self.method: Method = method.to(self.device)
        self.draws = self._row_draws()
        if not config.compute.compile:  # which has one worker, and its own random numbers
            follow_rows(self.method.network, self.draws)
        self.precision = Precision(config.compute.precision, self.device)
        self.network, self._ddp = self._wrap(self.method.network)
        optimizer = config.optimizer
        self.optimizer = build_optimizer(
            self.method.network, name=optimizer.name, lr=optimizer.lr, momentum=optimizer.momentum,
            weight_decay=optimizer.weight_decay, nesterov=optimizer.nesterov, trust_coefficient=optimizer.trust_coefficient,
            betas=optimizer.betas, eps=optimizer.eps, layer_decay=optimizer.layer_decay,
        )  # fmt: skip
        self.step_rows = step_rows(config)
        self.meter = Meter(self.device)
        self.epoch, self.step = 0, 0
        self.closing_seconds = 0.0  # of the last epoch's end, without its evaluation
        if entry is not None:
            self._restore(entry)

    @property
    def global_step(self) -> int:
        """Steps since the start of the run."""
        return self.epoch * self.stream.steps + self.step

    def schedule(self, epoch: float) -> None:
        """Set learning rate and weight decay at a (fractional) epoch of training, those that only cluster not counted."""
        optimizer, epochs = self.config.optimizer, self.config.epochs - self.method.clustering_epochs
        lr = learning_rate(epoch, epochs, peak=optimizer.lr, warmup_epochs=optimizer.warmup_epochs)
        end, decay = optimizer.final_weight_decay, None
        if end is not None:
            decay = weight_decay_at(epoch, epochs, start=optimizer.weight_decay, end=end)
        set_rates(self.optimizer, lr, decay)

    def update(self) -> Tensor:
        """Change the weights by their gradients; returns the norm of these."""
        return update(self.optimizer, self.precision.scaler, self.config.optimizer.clip_norm)

    @property
    def keys(self) -> CollapseKeys:
        """The settings that a collapse may come from."""
        return keys_of(self.config)

    @property
    def lr(self) -> float:
        """Learning rate of the heads, which is the schedule's: layers of the backbone may have less."""
        lr: float = self.optimizer.param_groups[-1]["lr"]
        return lr

    @property
    def is_labelled(self) -> bool:
        """Whether the truth of what it trains on is known, if not to the training."""
        return self.dataset.split(self.config.stream.split).labelled

    @property
    def is_log_point(self) -> bool:
        """Whether figures are due after as many steps as there were."""
        return self.global_step % self.config.monitor.log_steps == 0

    @property
    def is_save_point(self) -> bool:
        """Whether a checkpoint is due after as many steps of this epoch as there were; its end has one of its own."""
        every = self.config.checkpoint.every_steps
        return every > 0 and self.step % every == 0 and self.step < self.stream.steps

    def _wrap(self, network: nn.Module) -> tuple[nn.Module, DistributedDataParallel | None]:
        compute = self.config.compute
        if not is_distributed():
            return Autocast(torch.compile(network) if compute.compile else network, self.precision), None
        if compute.gpu:
            from timm.layers import convert_sync_batchnorm  # torch's own would drop the activation in timm's BatchNormAct2d

            self.method.network = network = convert_sync_batchnorm(network)
        # Running means are averaged when they are saved; sending all buffers at each forward pass would cost a broadcast a step.
        ddp = DistributedDataParallel(network, device_ids=[self.device] if compute.gpu else None, broadcast_buffers=False)
        return Autocast(torch.compile(ddp) if compute.compile else ddp, self.precision), ddp

    def synchronised(self, last: bool) -> Any:
        """Context of a micro-batch: only the last one of a batch exchanges gradients."""
        return nullcontext() if last or self._ddp is None else self._ddp.no_sync()

    def exchange(self) -> None:
        """Make everything that differs between workers the same, so that one of them can save it.

        Raises:
            UserError: on every worker, when loss or weights are not finite.
        """
        for name, buffer in self.method.network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                mean_over_workers(buffer)
        self.method.exchange()
        self.meter.exchange(self.global_step)
        self.meter.check_weights(self.method.network, self.global_step)

    def save(self, epoch: int, step: int, score: float | None = None, scored_by: str | None = None) -> None:
        """Checkpoint with (epoch, step) as the next to do; call `exchange` first. All workers call it together.

        Raises:
            UserError: on every worker, when the storage refused.
        """
        self.epoch, self.step = epoch, step
        self.saved_at = self.global_step
        save_together(lambda: self._write(score, scored_by), self.rank)

    def _write(self, score: float | None, scored_by: str | None) -> None:
        state = {
            "epoch": self.epoch, "step": self.step, "workers": self.workers, "identity": self.job.identity,
            "method": self.method.state_dict(), "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(), "meter": self.meter.state_dict(),
            "config": without_secrets(self.config.to_dict()),
        }  # fmt: skip
        self.store.save(
            state, epoch=self.epoch, step=self.step, global_step=self.global_step, score=score, scored_by=scored_by
        )  # fmt: skip

    def _restore(self, entry: Entry) -> None:
        state = self.store.load(entry, mapped=True)
        self.method.load_state_dict(state["method"])
        # Moments are learned; rates and decays are the configuration's. The optimiser keeps what it is given, so it gets a copy.
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]) | {"param_groups": groups})
        self.precision.scaler.load_state_dict(state["scaler"])
        if "meter" in state:  # which version 0.1 did not keep
            self.meter.load_state_dict(state["meter"])
        self.epoch, self.step = state["epoch"], state["step"]

    def _row_draws(self) -> RowDraws:
        shape = stream_shape(self.config)
        lanes = lanes_of_worker(shape.lanes, self.rank, self.workers)
        share, labelled = (
            Share(range(lanes.start * rows, lanes.stop * rows), of)
            for rows, of in ((shape.lane_rows, shape.batch_size), (shape.lane_labelled, shape.labelled))
        )
        return RowDraws(share, labelled, self.device)

    def seed_step(self, number: int = 0, parts: int = 1) -> None:
        """Random numbers of the networks at a micro-batch, the `number`-th of a step's `parts`, so that none has to be saved.

        Drop paths follow seed, step and row; any other dropout follows seed, step and rank.
        """
        self.draws.begin(_seed(self.config.seed, self.global_step), number, parts)
        if number:
            return
        seed = _seed(self.config.seed, self.global_step, self.rank)
        # Not torch.manual_seed: it notes a stack trace for every kind of device that is not there, at each call.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)


def _seed(*of: int) -> int:
    return int(np.random.SeedSequence(of).generate_state(1)[0])
