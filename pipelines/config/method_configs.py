"""The kinds of training runs: what each method's configuration adds to `TrainingConfig`."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from torch import nn

from algos.methods.coke.method import CoKe, CoKeConfig
from algos.methods.method import Method
from algos.methods.protocon.config import ProtoConConfig
from algos.methods.protocon.method import ProtoCon
from pipelines.config.sections import MonitorConfig
from pipelines.config.training_config import TrainingConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.stream.epoch_order import lanes_of_worker


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingConfig):
    """A run of CoKe.

    Attributes:
        method: see `CoKeConfig`.
    """

    kind: ClassVar[str] = "pretrain"

    method: CoKeConfig = field(default_factory=CoKeConfig)

    def check(self, dataset: Dataset) -> None:
        """Refuse what cannot work with these data.

        Raises:
            UserError: naming the key and what to change.
        """
        super().check(dataset)
        try:
            self.method.check(num_instances=dataset.split(self.data.split).rows, large_views=self.views.num_large)
        except ValueError as error:
            raise UserError(str(error)) from error

    def clusters(self, instances: int) -> list[int]:
        """Clusters of each head."""
        return list(self.method.num_clusters)

    def build_method(self, backbone: nn.Module, dataset: Dataset) -> Method:
        """The method over `backbone`, sized by the data."""
        ids = dataset.split(self.data.split).ids
        return CoKe(self.method, backbone, num_instances=ids, batch_size=self.step_rows, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class SemisupConfig(TrainingConfig):
    """A run of ProtoCon.

    Attributes:
        labels: file that `quorum labels` wrote: the instances whose labels training sees.
        unlabelled_ratio: unlabelled images of a step for each labelled one [mu].
        method: see `ProtoConConfig`.
    """

    kind: ClassVar[str] = "semisup"

    labels: str
    unlabelled_ratio: int = 7
    method: ProtoConConfig = field(default_factory=ProtoConConfig)
    monitor: MonitorConfig = field(default_factory=lambda: MonitorConfig(knn_epochs=0))  # its votes need all training labels

    def __post_init__(self) -> None:
        """Refuse numbers and views that no run can have."""
        if self.unlabelled_ratio < 1:
            raise UserError(f"unlabelled_ratio is {self.unlabelled_ratio}; it must be at least 1")
        super().__post_init__()
        if self.views.num_large != 2 or self.views.small:
            raise UserError("views needs exactly two large rules here, the weak view and the strong one, and no small crops")

    @property
    def step_rows(self) -> int:
        """Unlabelled images of a step [mu B]."""
        return self.batch_size * self.unlabelled_ratio

    @property
    def step_labelled(self) -> int:
        """Labelled images of a step [B]."""
        return self.batch_size

    @functools.cached_property
    def selection(self) -> Selection:
        """The labelled instances; the file is read once."""
        return Selection.open(self.labels)

    def absolute(self) -> Self:
        """The same with places that hold from any folder."""
        return replace(super().absolute(), labels=str(Location.of(self.labels)))

    def adopt(self, run: Location) -> TrainingConfig:
        """Copy the selection into the run's folder: a resume and an evaluation need it, and the file may change."""
        self.selection.save(str(run / "labels.json"))
        return self.found_in(run)

    def found_in(self, run: Location) -> TrainingConfig:
        """The configuration as a run's folder has it, wherever that folder lies by now."""
        return replace(self, labels=str(run / "labels.json"))

    def check(self, dataset: Dataset) -> None:
        """Refuse what cannot work with these data.

        Raises:
            UserError: naming the key and what to change.
        """
        self.selection.check(dataset, self.data.split, self.labels)
        super().check(dataset)
        try:
            self.method.clusters(dataset.split(self.data.split).ids)
        except ValueError as error:
            raise UserError(str(error)) from error
        shape, compute = self.shape, self.compute
        for workers in range(compute.min_workers or compute.workers, compute.workers + 1):
            for rank in range(workers):
                mine = len(lanes_of_worker(shape.lanes, rank, workers)) * shape.lane_labelled
                if mine % self.accumulate:
                    raise UserError(
                        f"accumulate {self.accumulate} does not divide the {mine} labelled images that one of {workers} workers "
                        "has of a step; choose a divisor"
                    )

    def clusters(self, instances: int) -> list[int]:
        """Clusters of each head for so many training images."""
        return self.method.clusters(instances)

    def _too_large(self, rows: int) -> str:
        return (
            f"batch_size {self.batch_size} with unlabelled_ratio {self.unlabelled_ratio} takes {self.step_rows} unlabelled "
            f"images a step, but split {self.data.split!r} has {rows}; lower one of the two"
        )

    def build_method(self, backbone: nn.Module, dataset: Dataset) -> Method:
        """The method over `backbone`, sized by the data."""
        ids, classes = dataset.split(self.data.split).ids, len(self.selection.classes)
        return ProtoCon(self.method, backbone, num_classes=classes, num_instances=ids, batch_size=self.step_rows, seed=self.seed)


CONFIG_OF_COMMAND: dict[str, type[TrainingConfig]] = {kind.kind: kind for kind in (PretrainConfig, SemisupConfig)}
