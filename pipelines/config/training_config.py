"""The typed configuration of a training run: values, whose sections check themselves. Recipes are files of this shape.

What only shows between sections, or between them and the data, is checked by `pipelines.config.training_plan`.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from algos.check_ranges import require_not_negative, require_positive
from algos.methods.registry import method_spec
from algos.methods.spec import MethodConfig
from pipelines.config.plain_values import plain
from pipelines.config.sections import (
    BackboneConfig,
    CheckpointConfig,
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
        require_not_negative(self, "seed")

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


CONFIG_OF_COMMAND: dict[str, type[TrainingConfig]] = {kind.kind: kind for kind in (PretrainConfig, SemisupConfig)}
