"""The typed configuration that every training run has, and what can be said of it before anything starts.

Its parts check themselves; `check` adds what only shows between the parts and the data. Recipes are files of this shape.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

from torch import nn

from algos.check_ranges import require_not_negative, require_positive
from algos.methods.method import Method
from algos.networks import BackboneConfig
from pipelines.config.plain_values import plain
from pipelines.config.sections import CheckpointConfig, ComputeConfig, DataConfig, MonitorConfig, OptimizerConfig, TrackingConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.stream.epoch_order import StreamShape, lanes_of_worker
from pipelines.views.view_config import Views


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What every training run has, whatever its method.

    Attributes:
        data: see `DataConfig`.
        views: the random views of an image.
        backbone: see `BackboneConfig`.
        optimizer: see `OptimizerConfig`.
        compute: see `ComputeConfig`.
        checkpoint: see `CheckpointConfig`.
        monitor: see `MonitorConfig`.
        tracking: see `TrackingConfig`.
        name: of the run and its folder; null makes one from the data and the time.
        storage: folder or URI that holds the runs, on storage that every node reaches.
        seed: of order, crops, initial weights and centers.
        epochs: all epochs, those that only cluster included.
        batch_size: images of a global batch over all workers; in semi-supervised runs the labelled ones [B].
        accumulate: micro-batches that a worker cuts its rows of a batch into.
        init_from: folder or checkpoint of a run whose backbone the weights start from; null for random ones.
    """

    kind: ClassVar[str]  # the command that trains it

    data: DataConfig
    views: Views
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
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

    def build_method(self, backbone: nn.Module, dataset: Dataset) -> Method:
        """The method over `backbone`, sized by the data."""
        raise TypeError(f"{type(self).__name__} names no method")

    def clusters(self, instances: int) -> list[int]:
        """Clusters of each head for so many training images."""
        raise TypeError(f"{type(self).__name__} names no method")

    @property
    def step_rows(self) -> int:
        """Images that a step takes from the stream, over all workers."""
        return self.batch_size

    @property
    def step_labelled(self) -> int:
        """Labelled images that a step takes besides."""
        return 0

    @property
    def shape(self) -> StreamShape:
        """How an epoch is cut into batches."""
        return StreamShape(self.step_rows, self.data.lanes, self.data.window, self.step_labelled)

    @property
    def selection(self) -> Selection | None:
        """The labelled instances, where the run has some."""
        return None

    def absolute(self) -> Self:
        """The same with places that hold from any folder: workers run in their own, and a resume may come from anywhere."""
        data, init_from = replace(self.data, shards=str(Location.of(self.data.shards))), self.init_from
        start = init_from and str(Location.of(init_from))
        return replace(self, storage=str(Location.of(self.storage)), data=data, init_from=start)

    def adopt(self, run: Location) -> TrainingConfig:
        """Copy what the run needs besides its shards into its folder; returns the configuration that names the copies."""
        return self

    @property
    def image_size(self) -> int:
        """Side of the large views, px; evaluation uses it too."""
        return self.views.large[0].size

    def found_in(self, run: Location) -> TrainingConfig:
        """The configuration as a run's folder has it, wherever that folder lies by now."""
        return self

    def check(self, dataset: Dataset) -> None:
        """Refuse what cannot work with these data.

        Raises:
            UserError: naming the key and what to change.
        """
        split, workers, shape = dataset.split(self.data.split), self.compute.workers, self.shape
        if split.rows < self.step_rows:
            raise UserError(self._too_large(split.rows))
        rows = min(len(lanes_of_worker(shape.lanes, rank, workers)) for rank in range(workers)) * shape.lane_rows
        if rows // self.accumulate < 2:
            raise UserError(
                f"batch_size {self.batch_size} over {workers} workers and {self.accumulate} micro-batches leaves fewer than "
                "2 rows for BatchNorm; raise batch_size or lower accumulate"
            )
        if self.monitor.knn_epochs and "test" in dataset.splits and not (split.labelled and dataset.split("test").labelled):
            raise UserError(f"monitor.knn_epochs is {self.monitor.knn_epochs}, but {self.data.shards} has no labels; set it to 0")

    def _too_large(self, rows: int) -> str:
        return f"batch_size {self.batch_size} exceeds the {rows} images of split {self.data.split!r}; choose a smaller one"

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, as a recipe holds them."""
        values: dict[str, Any] = plain(asdict(self))
        return values
