"""The typed configuration that every training run has, and what can be said of it before anything starts.

Each part checks itself; `check` adds what only shows between the parts and the data. Recipes are files of this shape.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from torch import nn

from algos.method import Method
from algos.networks import BackboneConfig
from pipelines.errors import UserError
from pipelines.labels import Selection
from pipelines.order import StreamShape, lanes_of_worker
from pipelines.shards import Dataset
from pipelines.storage import Location
from pipelines.views import Normalization, Views


@dataclass(frozen=True)
class DataConfig:
    """The shards and how they are streamed.

    Attributes:
        shards: folder that `quorum ingest` wrote, a local path or URI.
        split: which split to train on.
        lanes: most workers that can share the run; a divisor of batch_size. Part of the run's identity.
        window: rows of a lane that are shuffled together.
        normalization: of the pixels.
    """

    shards: str
    split: str = "train"
    lanes: int = 8
    window: int = 256
    normalization: Normalization = field(default_factory=Normalization)


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser and learning-rate schedule.

    Attributes:
        name: `lars` or `sgd`.
        lr: peak learning rate, for the global batch as it is.
        momentum: of both.
        nesterov: of sgd.
        weight_decay: of weights; biases and norms get none.
        trust_coefficient: of LARS.
        warmup_epochs: epochs of linear warm-up after epoch 0; then cosine to 0.
    """

    name: Literal["lars", "sgd"] = "lars"
    lr: float = 1.6
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-6
    trust_coefficient: float = 0.001
    warmup_epochs: int = 10

    def __post_init__(self) -> None:
        """Refuse Nesterov's momentum where there is none to look ahead with."""
        if self.nesterov and (self.name != "sgd" or self.momentum <= 0):
            raise UserError("optimizer.nesterov needs optimizer.name sgd and a momentum above 0; set it to false")


@dataclass(frozen=True)
class ComputeConfig:
    """Workers and what they run on.

    Attributes:
        workers: Ray Train workers; any number up to data.lanes.
        min_workers: fewer are accepted while the cluster lacks nodes; null for exactly `workers`.
        gpu: GPUs (NCCL, SyncBatchNorm) instead of CPUs (gloo).
        gpus_per_worker: 1, or with one worker a fraction, so that the trials of a sweep share a GPU.
        cpus_per_worker: reserved for a worker's own process; the stream's tasks use what remains.
        threads: torch threads of a CPU worker; 0 shares the node's CPUs but one, which is the stream's.
        precision: `fp32`, `bf16` or `fp16` (with loss scaling) in the networks; clustering and loss are always fp32.
        channels_last: memory layout of the convolutions.
        compile: use torch.compile.
        max_failures: restarts from the last checkpoint when workers die; -1 for any number.
    """

    workers: int = 1
    min_workers: int | None = None
    gpu: bool = False
    gpus_per_worker: float = 1.0
    cpus_per_worker: int = 1
    threads: int = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = True
    compile: bool = False
    max_failures: int = 3

    def __post_init__(self) -> None:
        """Refuse fractions that workers cannot share."""
        if not 0 < self.gpus_per_worker <= 1 or (self.gpus_per_worker < 1 and self.workers > 1):
            raise UserError(
                f"compute.gpus_per_worker is {self.gpus_per_worker} with {self.workers} workers; "
                "give 1, or a fraction above 0 with one worker: NCCL wants a GPU for each"
            )

    @property
    def gpus(self) -> float:
        """GPUs of each worker; 0 on CPUs."""
        return self.gpus_per_worker if self.gpu else 0.0


@dataclass(frozen=True)
class CheckpointConfig:
    """When state is saved and how much of it is kept.

    Attributes:
        every_steps: besides the end of each epoch; 0 for epoch ends only.
        keep_last: newest checkpoints to keep; the best one is kept too, by averaged accuracy or by kNN.
    """

    every_steps: int = 0
    keep_last: int = 2


@dataclass(frozen=True)
class MonitorConfig:
    """What is measured while training.

    Attributes:
        log_steps: steps between two points of loss, rate and learning rate.
        knn_epochs: epochs between two kNN scores, which need labels; 0 for none.
        knn_bank: training images that vote.
        knn_queries: test images that are classified.
        knn_neighbours: voters of a query.
        knn_temperature: of the votes.
        accuracy_epochs: epochs between two scores of a method's classifiers on the test split; 0 for none.
        picture_epochs: epochs between two sheets of pictures; 0 for the last epoch only.
    """

    log_steps: int = 20
    knn_epochs: int = 1
    knn_bank: int = 10_000
    knn_queries: int = 2_000
    knn_neighbours: int = 20
    knn_temperature: float = 0.07
    accuracy_epochs: int = 1
    picture_epochs: int = 10


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are recorded.

    Attributes:
        uri: of the MLflow server; null takes MLFLOW_TRACKING_URI, or a sqlite file in `storage`.
        experiment: name of the MLflow experiment.
    """

    uri: str | None = None
    experiment: str = "quorum"


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
        positive = {
            "compute.cpus_per_worker": self.compute.cpus_per_worker,
            "epochs": self.epochs, "batch_size": self.batch_size, "accumulate": self.accumulate,
            "compute.workers": self.compute.workers, "checkpoint.keep_last": self.checkpoint.keep_last,
            "optimizer.lr": self.optimizer.lr, "data.window": self.data.window, "monitor.log_steps": self.monitor.log_steps,
            "monitor.knn_bank": self.monitor.knn_bank, "monitor.knn_queries": self.monitor.knn_queries,
            "monitor.knn_neighbours": self.monitor.knn_neighbours, "monitor.knn_temperature": self.monitor.knn_temperature,
        }  # fmt: skip
        for key, value in positive.items():
            if not value > 0:  # nor NaN
                raise UserError(f"{key} is {value}; it must be positive")
        if self.compute.min_workers is not None and not 1 <= self.compute.min_workers <= self.compute.workers:
            raise UserError(
                f"compute.min_workers is {self.compute.min_workers}; "
                f"it must lie between 1 and compute.workers ({self.compute.workers})"
            )
        periods = {
            "checkpoint.every_steps": self.checkpoint.every_steps, "monitor.knn_epochs": self.monitor.knn_epochs,
            "monitor.accuracy_epochs": self.monitor.accuracy_epochs, "monitor.picture_epochs": self.monitor.picture_epochs,
            "compute.threads": self.compute.threads, "optimizer.warmup_epochs": self.optimizer.warmup_epochs, "seed": self.seed,
        }  # fmt: skip
        for key, value in periods.items():
            if value < 0:
                raise UserError(f"{key} is {value}; it must be 0 or more")

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


def plain(value: Any) -> Any:
    """Nested values with lists for tuples, as YAML and JSON hold them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as `part.key` -> value, as MLflow's parameters and the command line spell them."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat
