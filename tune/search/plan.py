"""What a sweep will try: its points, each checked against the data before anything starts, and where each trial lives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.config.old_configs import refuse_old
from pipelines.config.recipe import read_recipe, read_stored
from pipelines.config.training_config import CONFIG_OF_COMMAND, TrainingConfig
from pipelines.config.training_plan import check_training, head_sizes, scores_of, spec_of
from pipelines.config.typed_options import dotted, from_values, with_settings
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.scored_split import observed_split
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import folder_name
from pipelines.runs.trained_model import check_network, say_of_start
from pipelines.runs.training_inputs import absolute, open_selection
from pipelines.tracking.about.data_input import TRAINING, DataInput
from pipelines.tracking.figures import FEATURES, usual_mode
from pipelines.tracking.mlflow_store import tracking_uri
from tune.points import identity, spelled
from tune.search.idle_axes import check_axes, tell_needless
from tune.search.ranking import Scores
from tune.search.space import Point, Space, overrides
from tune.search.sweep_config import SweepConfig

SHOWN = 3  # impossible points that are named
DRAWN = 100  # points of a space that a searcher proposes from, of which one must work
OF_DATA = {"data", "stream.split"}  # keys on which it depends how many instances there are
OWN = ("seed", "name", "storage", "tracking.uri", "tracking.experiment")  # keys of a trial that the sweep sets


@dataclass(frozen=True)
class Plan:
    """A sweep's base, data and points; every place in it is absolute, because trials run in folders of their own.

    Attributes:
        config: of the sweep.
        base: configuration of all trials, before a point is set.
        home: folder that the sweep was started in, where local files of remote runs are.
        begun_from: folder that it was begun in, from which relative places in its space count.
        dataset: that all trials train on.
        points: to try; empty where a searcher proposes them.
        checked: configuration of each of these points, by its identity.
    """

    config: SweepConfig
    base: TrainingConfig
    home: str
    begun_from: str
    dataset: Dataset
    points: list[Point]
    checked: dict[str, TrainingConfig]

    @classmethod
    def of(cls, config: SweepConfig, *, stored: bool = False, begun_from: str = "") -> Plan:
        """Make the plan and check every point that is known.

        Args:
            config: of the sweep.
            stored: whether its recipe is the one that a sweep keeps, perhaps of version 0.1.
            begun_from: folder that the sweep was begun in; this one, where it is begun now, or did not note it.

        Raises:
            UserError: for a base recipe that does not work, or points that cannot; nothing was started.
        """
        settings = dotted(config.settings)
        for part, keys in (("settings", settings), ("space", config.space)):
            if own := sorted(set(keys) & set(OWN)):
                raise UserError(f"{part}.{own[0]} is the sweep's own; set seeds, name, storage or tracking of the sweep instead")
        refuse_old(settings, "settings: ")
        kind, storage = CONFIG_OF_COMMAND[config.kind], Location.of(config.storage)
        given = (read_stored if stored else read_recipe)(config.recipe, kind)
        base = absolute(from_values(with_settings(given.to_dict(), settings), kind))
        tracking = replace(config.tracking, uri=tracking_uri(config.tracking.uri, storage))
        base = replace(base, storage=str(storage / (config.name if stored else folder_name(config.name))), tracking=tracking)
        dataset = Dataset.open(base.data)
        metric = config.metric or _scores(base, dataset).usual
        config = replace(config, storage=str(storage), tracking=tracking, metric=metric, mode=config.mode or usual_mode(metric))
        here = str(Path.cwd())
        plan = cls(config, base, here, begun_from or here, dataset, _points(config), {})
        plan._check_ranking()
        plan._check_points()
        if not stored:
            check_axes(config, base, list(plan.checked.values()))
            tell_needless(config, settings, plan.points, list(plan.checked.values()))
        return plan

    @property
    def folder(self) -> Location:
        """Of the sweep; its trials are runs below it."""
        return Location.of(self.base.storage)

    @property
    def store(self) -> tuple[str, str]:
        """URI of the MLflow store that records the sweep and its trials, and the experiment in it."""
        return str(self.config.tracking.uri), self.config.tracking.experiment

    @property
    def is_population(self) -> bool:
        """Whether trials change on their way, so that their points are only where they start."""
        return self.config.scheduler.name == "pbt"

    @property
    def is_of_single_workers(self) -> bool:
        """Whether every trial that is known has one worker."""
        return all(one.compute.workers == 1 for one in self.configurations)

    @property
    def needs(self) -> dict[str, float]:
        """CPUs and GPUs that the workers of the largest known trial take."""
        each = [one.compute for one in self.configurations]
        return {
            "CPU": max(one.workers * one.cpus_per_worker for one in each), "GPU": max(one.workers * one.gpus for one in each)
        }  # fmt: skip

    @property
    def grace(self) -> float:
        """Seconds that trials may take to save when the sweep is wished to stop."""
        return self.base.compute.grace

    @property
    def max_failures(self) -> int:
        """How often a trial is tried again when its process dies; -1 for any number."""
        return self.base.compute.max_failures

    @property
    def trials(self) -> int:
        """How many trials there will be."""
        return (len(self.points) or self.config.budget.trials or 0) * len(self.config.seeds)

    @property
    def configurations(self) -> list[TrainingConfig]:
        """Of all points that are known, or the base."""
        return list(self.checked.values()) or [self.base]

    @property
    def epochs(self) -> int:
        """Of the longest trial that is known."""
        return max(config.epochs for config in self.configurations)

    def training(self, point: Mapping[str, Any], seed: int) -> TrainingConfig:
        """The configuration of one trial, checked against the data.

        Raises:
            UserError: when it cannot work.
        """
        config = self.checked.get(identity(point)) or self._settle(point)
        return replace(config, seed=seed, name=trial_name(point, seed))

    def run_folder(self, point: Mapping[str, Any], seed: int) -> Location:
        """Where the trial's run is."""
        return self.folder / trial_name(point, seed)

    def _settle(self, point: Mapping[str, Any]) -> TrainingConfig:
        data = self._set(self.base, {key: point[key] for key in OF_DATA & point.keys()}) if OF_DATA & point.keys() else self.base
        dataset = self.dataset if data.data == self.base.data else Dataset.open(data.data)
        instances = dataset.split(data.stream.split).rows
        config = self._set(
            self.base, overrides(point, kind=self.config.kind, instances=instances, clusters=head_sizes(data, instances))
        )
        check_training(config, dataset, open_selection(config))
        self._check_metric(config, dataset)
        return config

    def _set(self, base: TrainingConfig, settings: Mapping[str, Any]) -> TrainingConfig:
        return absolute(from_values(with_settings(base.to_dict(), settings), type(base)), self.begun_from)

    def _check_metric(self, config: TrainingConfig, dataset: Dataset) -> None:
        decided = self.config.scheduler.name != "none" or self.config.searcher == "optuna"
        _scores(config, dataset).check(self.metric, reported=decided)

    def _check_points(self) -> None:
        drawn = [] if self.points else Space.parse(self.config.space, self.config.kind).sample(DRAWN, self.config.seed)
        problems, networks = [], set[tuple[str | None, ...]]()
        for point in self.points or drawn:
            try:
                config = self._settle(point)
                _check_start(config, networks)
                if drawn:
                    break
                self.checked[identity(point)] = config
            except UserError as error:
                problems.append(f"{spelled(point)}: {error}")
        if drawn and len(problems) == len(drawn):
            raise UserError(f"none of {len(drawn)} points drawn from the space can work, as {problems[0]}")
        if problems and not drawn:
            more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            raise UserError(
                f"{len(problems)} of {len(self.points)} points of the space cannot work: {'; '.join(problems[:SHOWN])}{more}"
            )

    @property
    def data(self) -> DataInput:
        """What all trials train on, as MLflow lists it."""
        return DataInput.of_split(self.dataset, self.base.stream.split, TRAINING)

    @property
    def searched_data(self) -> dict[str, str]:
        """Fingerprints of the data sets that the space names."""
        axes = Space.parse(self.config.space, self.config.kind).axes
        found = {}
        for data in [value for axis in axes if axis.key == "data" for value in axis.values]:
            with suppress(UserError):  # of one that no trial can be made on, which is told where it matters
                found[data] = Dataset.open(str(Location.of(data, self.begun_from))).fingerprint
        return found

    @property
    def words(self) -> str:
        """What it searches on what, in a sentence."""
        config, base = self.config, self.base
        keys = ", ".join(f"`{key}`" for key in config.space)
        return (
            f"Searches {keys} of `quorum {config.kind}` with {self.trials:,} trials ({config.searcher}, seeds "
            f"{', '.join(map(str, config.seeds))}), each of up to {self.epochs:,} epochs of "
            f"{self.dataset.split(base.stream.split).rows:,} images, split `{base.stream.split}` of `{base.data}`. "
            f"What decides is `{self.metric}` ({self.mode})."
        )

    @property
    def metric(self) -> str:
        """The figure of an epoch that decides."""
        assert self.config.metric is not None, "a plan has chosen"
        return self.config.metric

    @property
    def mode(self) -> Literal["max", "min"]:
        """Which of its values is the better one."""
        assert self.config.mode is not None, "a plan has chosen"
        return self.config.mode

    def _check_ranking(self) -> None:
        """Refuse a score that no trial would have, and rungs that none would reach: it would show when all are trained."""
        self._check_metric(self.base, self.dataset)
        rule = self.config.scheduler
        if rule.name == "asha" and rule.grace_epochs > self.base.epochs:
            raise UserError(f"scheduler.grace_epochs is {rule.grace_epochs}, but a trial has {self.base.epochs} epochs; lower it")
        every = _period(self.metric, self.base, self.dataset)
        if self.is_population and rule.interval_epochs < every:
            raise UserError(
                f"scheduler.interval_epochs is {rule.interval_epochs}, but {self.metric} comes every {every} epochs, so that "
                f"members would be compared without it; give {every} or more"
            )
        if self.is_population and self.trials < 2:
            raise UserError("scheduler pbt has one member, which no other can take over from; give the space more points")
        if self.is_population and self.config.concurrent not in (None, self.trials):
            raise UserError(f"scheduler pbt trains all {self.trials} members at a time; leave concurrent out")


def _check_start(config: TrainingConfig, networks: set[tuple[str | None, ...]]) -> None:
    """Look at a network and what it starts from, unless it is among those that were looked at."""
    network = (repr(config.backbone), repr(config.views), repr(config.stream.normalization), config.init_from)
    if network not in networks:
        if weights := check_network(config):
            say_of_start(config, weights)
        networks.add(network)


def _scores(config: TrainingConfig, dataset: Dataset) -> Scores:
    split, scores = scores_of(config, dataset)
    trained, monitor = config.stream.split, config.monitor
    observed = observed_split(dataset, monitor.split, trained=trained) if monitor.every_features else None
    heads = len(head_sizes(config, dataset.split(trained).rows))
    return Scores(config.kind, split, list(scores), spec_of(config).takes_labels, list(dataset.splits), observed, heads)


def _period(metric: str, config: TrainingConfig, dataset: Dataset) -> int:
    """Epochs between two values of a figure."""
    if metric.startswith(f"{FEATURES}/"):
        return config.monitor.every_features
    return scores_of(config, dataset)[1].get(metric.rpartition("/")[2], 1)


def _points(config: SweepConfig) -> list[Point]:
    space, trials = Space.parse(config.space, config.kind), config.budget.trials
    if config.searcher == "grid":
        return space.grid()[:trials]
    return space.sample(trials or 0, config.seed) if config.searcher == "random" else []


def trial_name(point: Mapping[str, Any], seed: int) -> str:
    """Name of a trial: the same for the same point and seed, so that a resumed sweep finds it."""
    shown = "-".join(_named(key.rpartition(".")[2], value) for key, value in sorted(point.items()))
    short = "".join(letter if letter.isalnum() or letter in "=.-" else "_" for letter in shown)[:60]
    return f"{short}-seed={seed}-{hashlib.sha256(identity(point).encode()).hexdigest()[:6]}"


def _named(key: str, value: Any) -> str:
    """A key with its value, or alone where the value has a structure of its own: the hash of a name tells those apart."""
    items = value if isinstance(value, list) else [value]
    return key if any(isinstance(item, Mapping | list) for item in items) else f"{key}={value}"
