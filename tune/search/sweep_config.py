"""The typed configuration of a sweep."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from algos.idle_settings import Idle, one_of
from pipelines.config.plain_values import plain
from pipelines.config.sections import TrackingConfig
from pipelines.config.training_config import CONFIG_OF_COMMAND
from pipelines.errors import UserError, nearest
from tune.search.space import Space, recipe_key

# Keys that a resumed run follows without a change of shapes or of the order of its images.
MUTABLE = (
    "optimizer.lr", "optimizer.weight_decay", "optimizer.final_weight_decay", "optimizer.momentum", "optimizer.betas",
    "optimizer.clip_norm", "method.min_size_ratio", "method.dual_lr",
    "method.temperature", "method.label_weight", "method.predictor_weight", "method.large_weight", "method.refine_weight",
    "method.confidence_threshold", "method.unlabelled_weight", "method.debias_weight",
    "method.share_power", "method.mean_momentum",
)  # fmt: skip


@dataclass(frozen=True)
class SchedulerConfig:
    """Which trials may stop early, or change on their way.

    Attributes:
        name: `none`; `asha`: at its rungs a trial stops unless it is among the best share; `pbt`: every few epochs the
            worst of a population go on from the state of the best, with other values of the searched keys.
        grace_epochs: epochs that every trial gets [asha].
        reduction: one of so many goes on at each rung; rungs lie this factor apart [asha].
        interval_epochs: epochs between two exchanges [pbt].
        share: of the population that is replaced by as many of the best [pbt].
    """

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("grace_epochs", "reduction"), {"name": one_of("asha")}, "set scheduler.name to asha"),
        Idle(("interval_epochs", "share"), {"name": one_of("pbt")}, "set scheduler.name to pbt"),
    )

    name: Literal["none", "asha", "pbt"] = "none"
    grace_epochs: int = 1
    reduction: int = 3
    interval_epochs: int = 1
    share: float = 0.25


@dataclass(frozen=True)
class BudgetConfig:
    """When a sweep is over.

    Attributes:
        trials: points to try; null for the whole grid.
        hours: no trial starts or goes on after them; null for no limit.
        epochs: likewise, of all trials together.
    """

    trials: int | None = None
    hours: float | None = None
    epochs: int | None = None


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A sweep over a base recipe.

    Attributes:
        kind: command of the base recipe: `pretrain` or `semisup`.
        recipe: of the base: a path, relative to the sweep's recipe or to the working folder, or the name of a shipped one.
        settings: keys of the base recipe to set for all trials.
        space: searched keys, each with one of `grid`, `choice`, `uniform`, `loguniform`, `integers`; see `tune.search.space`.
        metric: figure of an epoch that decides; null takes the score that chooses a run's best checkpoint: kNN, or the averaged
            classifier's accuracy, on `val` where the data have it, else on `test`.
        mode: whether a larger or a smaller one is better; null takes `min` for losses and others that are better when smaller.
        seeds: each point is tried with each of them.
        searcher: `grid`, `random`, or `optuna`, which proposes points from the results so far.
        scheduler: see `SchedulerConfig`.
        budget: see `BudgetConfig`.
        concurrent: trials at a time; null for as many as the cluster has room for.
        name: of the sweep and its folder.
        storage: folder or URI that holds sweeps.
        tracking: see `TrackingConfig`.
        seed: of random points and of the searcher.
    """

    # In a recipe: what may be a path relative to it, what names another recipe, and what holds keys of that one.
    input_paths: ClassVar[tuple[str, ...]] = ("settings.data", "settings.labels", "settings.init_from")
    input_recipes: ClassVar[tuple[str, ...]] = ("recipe",)
    keys_of_recipes: ClassVar[tuple[str, ...]] = ("settings", "space")

    kind: str
    recipe: str
    space: dict[str, Any]
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    metric: str | None = None
    mode: Literal["max", "min"] | None = None
    seeds: list[int] = field(default_factory=lambda: [0])
    searcher: Literal["grid", "random", "optuna"] = "grid"
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    concurrent: int | None = None
    storage: str = "outputs"
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no sweep can be."""
        if self.kind not in CONFIG_OF_COMMAND:
            raise UserError(
                f"kind is {self.kind!r}{nearest(self.kind, CONFIG_OF_COMMAND)}; choose one of {', '.join(CONFIG_OF_COMMAND)}"
            )
        space = Space.parse(self.space, self.kind)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise UserError(f"seeds is {self.seeds}; give different numbers, 0 or more")
        limits = {
            "budget.trials": self.budget.trials, "budget.hours": self.budget.hours, "budget.epochs": self.budget.epochs,
            "concurrent": self.concurrent,
        }  # fmt: skip
        for key, value in limits.items():
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"{key} is {value}; give a positive number, or null for no limit")
        if self.metric is None and self.mode == "min":
            raise UserError("mode is min, but the score that is taken where metric names none is better when larger; name it")
        if self.searcher != "grid" and self.budget.trials is None:
            raise UserError(f"searcher {self.searcher} has no end of its own; set budget.trials")
        if self.searcher == "optuna" and len(self.seeds) > 1:
            raise UserError(
                "searcher optuna proposes one trial at a time; give one seed, and confirm the best with a grid over seeds"
            )
        if self.searcher == "optuna" and space.is_listed and self.concurrent != 1:
            raise UserError(
                "searcher optuna over listed values may propose a point again while it is trained; set concurrent to 1, "
                "or give an axis that is uniform or loguniform"
            )
        if self.scheduler.name == "pbt":
            self._check_population(space)
        if self.scheduler.grace_epochs < 1 or self.scheduler.reduction < 2:
            raise UserError("scheduler.grace_epochs must be at least 1 and scheduler.reduction at least 2")

    def _check_population(self, space: Space) -> None:
        if fixed := [axis.key for axis in space.axes if recipe_key(axis.key, self.kind) not in MUTABLE]:
            raise UserError(f"scheduler pbt cannot change {fixed[0]} in mid-run; it may change {', '.join(MUTABLE)}")
        if self.searcher == "optuna" or len(self.seeds) > 1:
            raise UserError(
                "scheduler pbt is a search of its own over one population; set searcher to grid or random, and one seed"
            )
        if self.scheduler.interval_epochs < 1 or not 0 < self.scheduler.share <= 0.5:
            raise UserError("scheduler.interval_epochs must be at least 1, and scheduler.share must lie in (0, 0.5]")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, as a recipe holds them."""
        values: dict[str, Any] = plain(asdict(self))
        return values
