"""The parts of a run's configuration, each of which checks itself; recipes and the command line spell them `part.key`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

from algos.check_ranges import SMALL_IMAGE, require_not_negative, require_positive
from algos.idle_settings import Idle, one_of, other_than
from algos.methods.registry import method_spec
from pipelines.config.plain_values import plain
from pipelines.errors import UserError
from pipelines.secrets import is_hidden
from pipelines.stream.epoch_order import USUAL_WINDOW
from pipelines.tracking.stores.addresses import absolute_address
from pipelines.views.view_config import WHITE, Normalization, check_background

PIXELS: Literal[3] = 3  # the newest version of how images are shown


@dataclass(frozen=True)
class StreamConfig:
    """How the data are streamed.

    Attributes:
        split: which split to train on.
        lanes: most workers that can share the run; a divisor of batch_size. Part of the run's identity.
        window: rows of a lane that are shuffled together.
        normalization: of the pixels.
        background: red, green and blue, 0 to 255, that transparent images lie on.
        pixels: version of how images are shown, with which a run goes on; 2 turns them upright and lays them on the background,
            1 is that of quorum 0.1, 3 is 2 by other codecs.
        decode: JPEGs on the `cpu`, in tasks, or on the `gpu` that trains, by nvJPEG: for machines with few CPU cores per GPU. Its
            pixels differ a little; what nvJPEG might show differently is still decoded in tasks.
    """

    split: str = "train"
    lanes: int = 8
    window: int = USUAL_WINDOW
    normalization: Normalization = field(default_factory=Normalization)
    background: list[int] = field(default_factory=lambda: [*WHITE])
    pixels: Literal[1, 2, 3] = PIXELS
    decode: Literal["cpu", "gpu"] = "cpu"

    def __post_init__(self) -> None:
        """Refuse a window or lanes of nothing, what is no colour, and pixels of before that a GPU does not make."""
        if self.decode == "gpu" and self.pixels < PIXELS:
            raise UserError(f"stream.decode: gpu makes pixels of version {PIXELS}, and stream.pixels is {self.pixels}")
        require_positive(self, "window", "lanes", part="stream")
        check_background(self.background, "stream.background")


@dataclass(frozen=True)
class BackboneConfig:
    """Which backbone; its name is looked up when a network is built, since that takes the libraries that know the names.

    Attributes:
        name: a torchvision ResNet (`resnet50`), `timm/NAME`, or `wrn-DEPTH-WIDTH` (`wrn-28-2`).
        stem: `imagenet` keeps the network's own; `small` is one 3x3 convolution without pooling, for networks with `conv1` and
            `maxpool`; `auto` takes `small` up to 64 px.
        stem_stride: stride of the small stem; 2 trades accuracy on small images for speed.
        options: further arguments of the model's constructor, for example `channels` of a timm ResNet.
    """

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("stem_stride",), {"stem": other_than("imagenet")}, "set stem to small"),
        Idle(
            ("stem_stride",), {"stem": other_than("auto"), "views.large": lambda large: large[0].size <= SMALL_IMAGE},
            "set stem to small", f"backbone.stem is auto, which is small up to {SMALL_IMAGE} px only",
        ),
        Idle(("stem_stride",), {"name": lambda name: not name.startswith("wrn-")}, "take a ResNet"),
    )  # fmt: skip

    name: str = "resnet18"
    stem: Literal["auto", "imagenet", "small"] = "auto"
    stem_stride: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a stride of nothing."""
        require_positive(self, "stem_stride", part="backbone")


# Keys of `optimizer` that only some of the optimisers have a use for.
KEYS_OF_OPTIMIZERS = {
    "momentum": ("lars", "sgd"), "nesterov": ("sgd",), "trust_coefficient": ("lars",), "betas": ("adamw",), "eps": ("adamw",),
}  # fmt: skip


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, and the schedules of its learning rate and weight decay.

    Attributes:
        name: `lars`, `sgd` or `adamw`.
        lr: peak learning rate, for the global batch as it is; the default is LARS's.
        momentum: of lars and sgd.
        nesterov: of sgd.
        weight_decay: of weights; biases and norms get none, with adamw or a layer_decay also what timm's model names (a ViT's
            positions and tokens).
        final_weight_decay: to which the decay goes by half a cosine until the last epoch; null leaves it as it is.
        trust_coefficient: of lars.
        betas: decays of the running means of the gradient and of its square, of adamw.
        eps: added to the root of the latter, of adamw.
        layer_decay: factor of the learning rate from the heads, which have the whole, to the last layer of a timm backbone, and
            from each of its layers to the one below; 1 for none.
        clip_norm: largest norm of the gradient of all parameters together, to which a larger one is scaled; null for none.
        warmup_epochs: epochs of linear warm-up after epoch 0; then cosine to 0.
    """

    idle: ClassVar[tuple[Idle, ...]] = tuple(
        Idle((key,), {"name": one_of(*names)}, f"set name to {names[-1]}") for key, names in KEYS_OF_OPTIMIZERS.items()
    )
    stages: ClassVar[dict[str, tuple[int, str]]] = {"warmup_epochs": (1, "the learning rate comes to optimizer.lr")}

    name: Literal["lars", "sgd", "adamw"] = "lars"
    lr: float = 1.6
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-6
    final_weight_decay: float | None = None
    trust_coefficient: float = 0.001
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    layer_decay: float = 1.0
    clip_norm: float | None = None
    warmup_epochs: int = 10

    def __post_init__(self) -> None:
        """Refuse impossible numbers, and keys that do nothing for the optimiser."""
        require_positive(self, "lr", "trust_coefficient", "eps", "clip_norm", part="optimizer")
        require_not_negative(self, "warmup_epochs", "weight_decay", "final_weight_decay", part="optimizer")
        if not 0 <= self.momentum < 1:
            raise UserError(f"optimizer.momentum is {self.momentum}; it must lie in [0, 1)")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"optimizer.betas is {list(self.betas)}; both must lie in [0, 1)")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"optimizer.layer_decay is {self.layer_decay}; it must lie in (0, 1], where 1 is none")
        if self.nesterov and (self.name != "sgd" or self.momentum <= 0):
            raise UserError("optimizer.nesterov needs optimizer.name sgd and a momentum above 0; set it to false")
        self._check_keys()

    def _check_keys(self) -> None:
        defaults = {one.name: one.default for one in fields(self)}
        for key, names in KEYS_OF_OPTIMIZERS.items():
            value = getattr(self, key)
            if self.name not in names and value != defaults[key]:
                raise UserError(
                    f"optimizer.{key} is {plain(value)}, but {self.name} has none: it is of {' and '.join(names)}; leave it out, "
                    f"or set optimizer.name to {names[-1]}"
                )
        if self.name == "adamw" and self.lr == defaults["lr"]:
            raise UserError(
                f"optimizer.lr is {self.lr}, the default for lars, by which adamw would change every weight at each step; "
                "give one near 0.001"
            )


@dataclass(frozen=True)
class ComputeConfig:
    """Workers and what they run on.

    Attributes:
        workers: Ray Train workers; any number up to the lanes.
        gpu: one GPU (NCCL) a worker, instead of CPUs (gloo).
        cpus_per_worker: reserved for a worker's own process; the stream's tasks use what remains.
        max_failures: restarts from the last checkpoint when workers die; -1 for any number.
        grace: seconds that workers have to save at their next step when the run is wished to stop (Ctrl-C, SIGTERM, SIGHUP).
    """

    workers: int = 1
    gpu: bool = False
    cpus_per_worker: int = 1
    max_failures: int = 3
    grace: float = 30.0

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        require_positive(self, "workers", "cpus_per_worker", part="compute")
        require_not_negative(self, "grace", part="compute")
        if self.max_failures < -1:
            raise UserError(f"compute.max_failures is {self.max_failures}; give 0 or more, or -1 for any number")

    @property
    def gpus(self) -> float:
        """GPUs of each worker; 0 on CPUs."""
        return float(self.gpu)


@dataclass(frozen=True)
class TrainingComputeConfig(ComputeConfig):
    """Workers of a training run, and how its networks run on them; with GPUs their BatchNorm is synchronised.

    Attributes:
        workers: Ray Train workers; any number up to stream.lanes.
        gpu: GPUs (NCCL, SyncBatchNorm) instead of CPUs (gloo).
        cpus_per_worker: reserved for a worker's own process; the stream's tasks use what remains.
        max_failures: restarts from the last checkpoint when workers die; -1 for any number.
        grace: seconds that workers have to save at their next step when the run is wished to stop (Ctrl-C, SIGTERM, SIGHUP).
        min_workers: fewer are accepted while the cluster lacks nodes; null for exactly `workers`.
        gpus_per_worker: 1, or with one worker a fraction, so that the trials of a sweep share a GPU.
        threads: torch threads of a CPU worker; 0 shares the node's CPUs but one, which is the stream's.
        precision: `fp32`, `bf16` or `fp16` (with loss scaling) in the networks; clustering and loss are always fp32.
        channels_last: memory layout of the convolutions.
        compile: use torch.compile; with one worker only.
    """

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("gpus_per_worker",), {"gpu": bool}, "set gpu to true"),
        Idle(("threads",), {"gpu": other_than(True)}, "set gpu to false"),
    )

    min_workers: int | None = None
    gpus_per_worker: float = 1.0
    threads: int = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible numbers, and fractions of a GPU that workers cannot share."""
        super().__post_init__()
        require_not_negative(self, "threads", part="compute")
        if self.min_workers is not None and not 1 <= self.min_workers <= self.workers:
            raise UserError(
                f"compute.min_workers is {self.min_workers}; it must lie between 1 and compute.workers ({self.workers})"
            )
        if self.compile and self.workers > 1:
            raise UserError(
                f"compute.compile is true with {self.workers} workers; it was not seen to work with data-parallel training yet: "
                "set compute.compile to false, or compute.workers to 1"
            )
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

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        require_not_negative(self, "every_steps", part="checkpoint")
        require_positive(self, "keep_last", part="checkpoint")


@dataclass(frozen=True)
class MonitorConfig:
    """What is measured while training.

    Attributes:
        log_steps: steps between two points of loss, rate and learning rate.
        split: images that scores are taken of, and so the best checkpoint and trial chosen; null takes `val` where there is one,
            else `test`.
        knn_epochs: epochs between two kNN scores, which need labels; 0 for none.
        knn_bank: training images that vote.
        knn_queries: images of `split` that are classified.
        knn_neighbours: voters of a query.
        knn_temperature: of the votes.
        feature_epochs: epochs between two sets of figures of features that need no labels; 0 for none, null for `knn_epochs`.
        feature_images: images of `split`, or without it of the split that is trained on, that these are of.
        accuracy_epochs: epochs between two scores of a method's classifiers on `split`; 0 for none.
        picture_epochs: epochs between two sheets of pictures; 0 for the last epoch only.
    """

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("knn_bank", "knn_queries", "knn_neighbours", "knn_temperature"), {"knn_epochs": bool}, "give knn_epochs"),
        Idle(("feature_images",), {"feature_epochs": bool, "knn_epochs": bool}, "give feature_epochs"),
        Idle(("feature_images",), {"feature_epochs": other_than(0)}, "give feature_epochs"),
        Idle(
            ("accuracy_epochs",), {"method.name": lambda name: method_spec(name).takes_labels},
            "choose a method with classifiers, which quorum semisup trains",
        ),
    )  # fmt: skip

    log_steps: int = 20
    split: str | None = None
    knn_epochs: int = 1
    knn_bank: int = 10_000
    knn_queries: int = 2_000
    knn_neighbours: int = 20
    knn_temperature: float = 0.07
    feature_epochs: int | None = None
    feature_images: int = 2_000
    accuracy_epochs: int = 1
    picture_epochs: int = 10

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        positive = ("log_steps", "knn_bank", "knn_queries", "knn_neighbours", "knn_temperature", "feature_images")
        require_positive(self, *positive, part="monitor")
        require_not_negative(self, "knn_epochs", "accuracy_epochs", "picture_epochs", "feature_epochs", part="monitor")

    @property
    def every_features(self) -> int:
        """Epochs between two sets of figures of features; 0 for none."""
        return self.knn_epochs if self.feature_epochs is None else self.feature_epochs


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are recorded.

    Attributes:
        uri: of the MLflow server; null takes MLFLOW_TRACKING_URI, or a sqlite file in `storage`.
        experiment: name of the MLflow experiment.
        models: checkpoints of which a run that has come to its end logs a model: `best`, `last`, `both` or `none`; null takes
            the best, and none for the trials of a sweep.
        system_seconds: between two readings of what each node's CPUs, memory, network, GPUs and object store are doing; 0 for
            none, null takes 10, or what MLflow's own settings say, and none for the trials of a sweep.
    """

    uri: str | None = None
    experiment: str = "quorum"
    models: Literal["best", "last", "both", "none"] | None = None
    system_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse less than no time."""
        require_not_negative(self, "system_seconds", part="tracking")

    def absolute(self) -> TrackingConfig:
        """The same with an address that holds from any folder.

        Raises:
            UserError: for an address that can be none.
        """
        return replace(self, uri=absolute_address(self.uri)) if self.uri and not is_hidden(self.uri) else self
