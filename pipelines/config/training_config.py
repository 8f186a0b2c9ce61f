"""The typed configuration of a training run: values, whose sections check themselves. Recipes are files of this shape.

What only shows between sections, or between them and the data, is checked by `pipelines.config.training_plan`.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from algos.check_ranges import MOST, require_positive, require_seed
from algos.methods.registry import method_spec
from algos.methods.spec import MethodConfig
from pipelines.config.plain_values import plain
from pipelines.config.sections import (
    BackboneConfig,
    CheckpointConfig,
    ComputeConfig,
    MonitorConfig,
    OptimizerConfig,
    StreamConfig,
    TrackingConfig,
    TrainingComputeConfig,
)  # fmt: skip
from pipelines.errors import UserError
from pipelines.views.view_config import Views


def method_config(name: str) -> MethodConfig:
    """The settings of a method, all at their defaults.

    Raises:
        ValueError: for an unknown name.
    """
    settings: MethodConfig = method_spec(name).config_type()
    return settings


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What every training run has; `PretrainConfig` and `SemisupConfig` are the two that there are.

    Attributes:
        data: shards that `quorum ingest` wrote, a local folder or URI.
        stream: see `StreamConfig`.
        views: the random views of an image.
        backbone: see `BackboneConfig`.
        optimizer: see `OptimizerConfig`.
        compute: see `TrainingComputeConfig`.
        checkpoint: see `CheckpointConfig`.
        monitor: see `MonitorConfig`.
        tracking: see `TrackingConfig`.
        method: settings of the method, of the type that its spec names; `method.name` picks it.
        name: of the run and its folder; null makes one from the data and the time.
        storage: folder or URI that holds the runs, on storage that every node reaches.
        seed: of order, crops, initial weights and centers.
        epochs: all epochs, those that only cluster included.
        batch_size: images of a global batch over all workers; in semi-supervised runs the labelled ones [B].
        accumulate: micro-batches that a worker cuts its rows of a batch into.
        init_from: weights that the backbone starts from: the folder or a checkpoint of a run, a file of weights (safetensors or
            torch's state dict) of the same backbone, or `timm/MODEL.TAG` as timm publishes them; null for random ones.
    """

    kind: ClassVar[str]  # the command that trains it
    default_method: ClassVar[str]
    input_paths: ClassVar[tuple[str, ...]] = ("data", "init_from")  # in a recipe they may be relative to it

    data: str
    views: Views
    method: MethodConfig
    stream: StreamConfig = field(default_factory=StreamConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    compute: TrainingComputeConfig = field(default_factory=TrainingComputeConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    name: str | None = None
    storage: str = "outputs"
    seed: int = 0
    epochs: int = 800
    batch_size: int = 1024
    accumulate: int = 1
    init_from: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        require_positive(self, "epochs", "batch_size", "accumulate")
        require_seed(self)
        if self.stream.decode == "gpu" and not self.compute.gpu:
            raise UserError("stream.decode is gpu, and compute.gpu is false: no GPU trains; set it to true, or decode on the cpu")
        if self.stream.decode == "gpu" and any(view.pad for view in self.views.flat):
            raise UserError("stream.decode is gpu, and a view has a pad, which only tasks cut out; decode on the cpu")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, as a recipe holds them."""
        values: dict[str, Any] = plain(asdict(self))
        return values


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingConfig):
    """A run that learns representations without labels; see `TrainingConfig`."""

    kind: ClassVar[str] = "pretrain"
    default_method: ClassVar[str] = "coke"

    method: MethodConfig = field(default_factory=functools.partial(method_config, default_method))


@dataclass(frozen=True, kw_only=True)
class SemisupConfig(TrainingConfig):
    """A run that learns a classifier from a few labels; see `TrainingConfig`.

    Attributes:
        labels: file that `quorum labels` wrote: the instances whose labels training sees.
        unlabelled_ratio: unlabelled images of a step for each labelled one [mu].
        monitor: see `MonitorConfig`; without kNN scores, whose votes would need all training labels.
    """

    kind: ClassVar[str] = "semisup"
    default_method: ClassVar[str] = "protocon"
    input_paths: ClassVar[tuple[str, ...]] = (*TrainingConfig.input_paths, "labels")

    labels: str
    unlabelled_ratio: int = 7
    method: MethodConfig = field(default_factory=functools.partial(method_config, default_method))
    monitor: MonitorConfig = field(default_factory=lambda: MonitorConfig(knn_epochs=0))

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        if self.unlabelled_ratio < 1:
            raise UserError(f"unlabelled_ratio is {self.unlabelled_ratio}; it must be at least 1")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """A classifier that is trained on the backbone of a run, as the papers evaluate it.

    Attributes:
        run: folder or checkpoint of a run, whose backbone is judged on its own data.
        finetune: train the backbone too; otherwise it is frozen, and the classifier is the linear probe.
        labels: file of `quorum labels` that names the images which are trained on; null takes all of the run's split.
        per_class: train on so many images of each class instead, drawn by `seed`.
        fraction: train on such a share of each class instead, drawn by `seed`.
        to: folder of the probe, which is a run too; null takes one below the run's.
        epochs: null takes 100 of a linear probe, 20 of fine-tuning.
        batch_size: null takes 1024, or 256 of fine-tuning; of few images less, so that an epoch has 16 steps or batches of 64.
        lr: peak learning rate of the classifier at the batch size that null stands for, scaled with the batch; of a list the best
            on val is reported. Null takes 0.3, or 0.2 of fine-tuning.
        backbone_lr: of the backbone in fine-tuning, scaled likewise; null takes 0.01.
        crop: range of a crop's share of the image's area.
        flip: probability of a horizontal flip.
        score_epochs: epochs between two scores on val.
        lanes: most workers that can share it; part of its identity.
        untrained: judge the run's initial weights, the baseline.
        seed: of crops, order and choice.
        compute: see `ComputeConfig`.
    """

    kind: ClassVar[str] = "probe"
    input_paths: ClassVar[tuple[str, ...]] = ("run", "labels")

    run: str
    finetune: bool = False
    labels: str | None = None
    per_class: int | None = None
    fraction: float | None = None
    to: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | list[float] | None = None
    backbone_lr: float | None = None
    crop: list[float] = field(default_factory=lambda: [0.08, 1.0])
    flip: float = 0.5
    score_epochs: int = 10
    lanes: int = 8
    untrained: bool = False
    seed: int = 1
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        """Refuse numbers that no probe can have, and what does not go together."""
        require_positive(self, "epochs", "batch_size", "backbone_lr", "per_class", "score_epochs", "lanes")
        require_seed(self)
        if not self.rates or not all(0 < rate <= MOST for rate in self.rates):
            raise UserError(f"lr is {self.lr}; give numbers above 0, at most {MOST:g}")
        if self.finetune and len(self.rates) > 1:
            raise UserError(f"lr is {self.lr}, and fine-tuning trains one backbone, not one for each; give one number")
        if self.backbone_lr is not None and not self.finetune:
            raise UserError("backbone_lr is given, but the backbone is frozen; add finetune, or leave it out")
        if sum(rule is not None for rule in (self.labels, self.per_class, self.fraction)) > 1:
            raise UserError("labels, per_class and fraction each choose the images that are trained on; give one of them")
        self._check_crops()
        if self.batch_size is not None and self.batch_size % self.lanes:
            raise UserError(f"batch_size {self.batch_size} is not a multiple of lanes {self.lanes}; change one of them")
        if self.compute.workers > self.lanes:
            raise UserError(f"{self.compute.workers} workers, but lanes is {self.lanes}; set lanes to at least the workers")

    def _check_crops(self) -> None:
        if len(self.crop) != 2 or not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise UserError(f"crop is {self.crop}; give the least and the greatest share of the image's area, as [0.08, 1.0]")
        if not 0 <= self.flip <= 1:
            raise UserError(f"flip is {self.flip}; a probability lies in [0, 1]")

    @property
    def published_batch(self) -> int:
        """Batch size of the published recipe, at which learning rates are meant."""
        return 256 if self.finetune else 1024

    @property
    def all_epochs(self) -> int:
        """Epochs, the published number where none is given."""
        return self.epochs or (20 if self.finetune else 100)

    @property
    def rates(self) -> list[float]:
        """Learning rates of the classifiers at the published batch size."""
        lr = self.lr if self.lr is not None else 0.2 if self.finetune else 0.3
        return list(lr) if isinstance(lr, list) else [lr]

    @property
    def backbone_rate(self) -> float:
        """Learning rate of the backbone at the published batch size; 0 where it is frozen."""
        return (self.backbone_lr or 0.01) if self.finetune else 0.0

    def batch_of(self, rows: int) -> int:
        """Rows of a global batch, where so many are trained on: a multiple of the lanes, if there are so many."""
        wanted = self.batch_size or min(self.published_batch, max(64, rows // 16))
        return min(wanted, rows) // self.lanes * self.lanes

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, as a file of options holds them."""
        values: dict[str, Any] = plain(asdict(self))
        return values


CONFIG_OF_COMMAND: dict[str, type[TrainingConfig]] = {kind.kind: kind for kind in (PretrainConfig, SemisupConfig)}
