"""What a sweep will try: its points, each checked against the data before anything starts, and where each trial lives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.config import TrainingConfig
from pipelines.errors import UserError
from pipelines.kinds import KINDS
from pipelines.recipe import read_recipe
from pipelines.shards import Dataset
from pipelines.storage import Location
from pipelines.tracking import tracking_uri
from tune.space import Point, Space, identity, overrides
from tune.sweep_config import SweepConfig

SHOWN = 3  # impossible points that are named


@dataclass(frozen=True)
class Plan:
    """A sweep's base, data and points.

    Attributes:
        config: of the sweep.
        base: recipe of all trials, before a point is set.
        folder: of the sweep; its trials are runs below it.
        dataset: that all trials train on.
        points: to try; empty where a searcher proposes them.
    """

    config: SweepConfig
    base: TrainingConfig
    folder: Location
    dataset: Dataset
    points: list[Point]

    @classmethod
    def of(cls, config: SweepConfig) -> Plan:
        """Make the plan and check every point that is known.

        Raises:
            UserError: for a base recipe that does not work, or points that cannot; nothing was started.
        """
        base = read_recipe(config.recipe, KINDS[config.kind], words(config.settings))
        space, trials = Space.parse(config.space), config.budget.trials
        points: list[Point] = []
        if config.searcher == "grid":
            points = space.grid()[:trials]
        elif config.searcher == "random":
            points = space.sample(trials or 0, config.seed)
        plan = cls(config, base, Location.of(config.storage) / config.name, Dataset.open(base.data.shards), points)
        plan._check()
        return plan

    @property
    def trials(self) -> int:
        """How many trials there will be."""
        return (len(self.points) or self.config.budget.trials or 0) * len(self.config.seeds)

    def _check(self) -> None:
        problems = []
        for point in self.points:
            try:
                self.training(point, self.config.seeds[0])
            except UserError as error:
                problems.append(f"{identity(point)}: {error}")
        if problems:
            more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            raise UserError(
                f"{len(problems)} of {len(self.points)} points of the space cannot work: {'; '.join(problems[:SHOWN])}{more}"
            )

    def training(self, point: Mapping[str, Any], seed: int) -> TrainingConfig:
        """The configuration of one trial, checked against the data.

        Raises:
            UserError: when it cannot work.
        """
        kind = KINDS[self.config.kind]
        instances = self.dataset.split(self.base.data.split).rows
        mine = overrides(point, kind=self.config.kind, instances=instances, clusters=self.base.clusters(instances))
        own = {"seed": seed, "name": trial_name(point, seed), "storage": str(self.folder), "tracking": self._tracking()}
        trained = read_recipe(self.config.recipe, kind, words(self.config.settings | mine | own))
        trained.check(self.dataset)
        return trained

    def _tracking(self) -> dict[str, Any]:
        """The sweep's own store, where the parent run is; a trial would look beside its own folder."""
        uri = tracking_uri(self.config.tracking.uri, Location.of(self.config.storage))
        return {"uri": uri, "experiment": self.config.tracking.experiment}

    def run_folder(self, point: Mapping[str, Any], seed: int) -> Location:
        """Where the trial's run is."""
        return self.folder / trial_name(point, seed)


def trial_name(point: Mapping[str, Any], seed: int) -> str:
    """Name of a trial: the same for the same point and seed, so that a resumed sweep finds it."""
    shown = "-".join(f"{key.rpartition('.')[2]}={value}" for key, value in sorted(point.items()))
    short = "".join(letter if letter.isalnum() or letter in "=.-" else "_" for letter in shown)[:60]
    return f"{short}-seed={seed}-{hashlib.sha256(identity(point).encode()).hexdigest()[:6]}"


def words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as the command line spells them."""
    return [
        word for key, value in settings.items() for word in (f"--{key}", value if isinstance(value, str) else json.dumps(value))
    ]
