"""A trained model from a run's folder or one of its checkpoint files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algos.method import Method
from algos.networks import build_backbone
from pipelines.checkpoint import Entry
from pipelines.config import TrainingConfig
from pipelines.errors import UserError, nearest
from pipelines.kinds import KINDS
from pipelines.recipe import read_recipe
from pipelines.run import Run
from pipelines.shards import Dataset


@dataclass(frozen=True)
class Trained:
    """What is needed to rebuild a run's method anywhere: configuration, data, and one checkpoint's state."""

    run: Run
    config: TrainingConfig
    dataset: Dataset
    entry: Entry
    state: dict[str, Any]

    @classmethod
    def open(cls, place: str) -> Trained:
        """The newest checkpoint of the run in folder `place`, or `RUN/checkpoints/step-....pt`, or `RUN/checkpoints/best`.

        Raises:
            UserError: when there is no run or no such checkpoint.
        """
        folder, _, file = place.partition("/checkpoints/")
        run = Run.open(folder)
        entries = {entry.file: entry for entry in run.checkpoints.entries()}
        if file == "best" and (best := run.checkpoints.best()):
            file = best.file
        if not entries:
            raise UserError(f"{folder} has no finished checkpoint yet")
        if file and file not in entries:
            raise UserError(f"{folder} has no checkpoint {file!r}{nearest(file, entries)}; it has {', '.join(entries)}")
        entry = entries[file] if file else list(entries.values())[-1]
        config = read_recipe(run.config_file(), KINDS[run.kind])
        return cls(run, config, Dataset.open(config.data.shards), entry, run.checkpoints.load(entry))

    @property
    def place(self) -> str:
        """What `open` finds this checkpoint by, from anywhere."""
        return str(self.run.location / "checkpoints" / self.entry.file)

    def method(self, *, untrained: bool = False) -> Method:
        """The method with its trained state, or as it was before the first step."""
        torch.manual_seed(self.config.seed)
        method = self.config.build_method(build_backbone(self.config.backbone, self.config.image_size), self.dataset)
        if not untrained:
            method.load_state_dict(self.state["method"])
        method.network.eval()
        return method


def start_from(backbone: nn.Module, config: TrainingConfig) -> None:
    """Give a backbone the weights of the run that `config.init_from` names.

    Raises:
        UserError: when there is no such run, or its backbone is another one.
    """
    if config.init_from is None:
        return
    trained = Trained.open(config.init_from)
    prefix = "backbone."
    network: dict[str, Tensor] = trained.state["method"]["network"]
    weights = {name.removeprefix(prefix): tensor for name, tensor in network.items() if name.startswith(prefix)}
    try:
        backbone.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"init_from {config.init_from} has backbone {trained.config.backbone.name!r} with {trained.config.backbone.options}, "
            f"which does not fit this recipe's {config.backbone.name!r} with {config.backbone.options}; make them equal"
        ) from error
