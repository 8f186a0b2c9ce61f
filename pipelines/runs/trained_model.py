"""A trained model from a run's folder or one of its checkpoint files."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algos.methods.method import Method
from algos.networks import build_backbone, feature_size
from pipelines.config.recipe import read_stored
from pipelines.config.training_config import CONFIG_OF_COMMAND, TrainingConfig
from pipelines.config.training_plan import build_method, image_size
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError, nearest
from pipelines.files.location import Location
from pipelines.runs.checkpoints import Entry
from pipelines.runs.run_folder import RUN_FILE, Run
from pipelines.runs.training_inputs import evaluation_view, found_in, open_selection
from pipelines.stream.center_crops import EvaluationView


@dataclass(frozen=True)
class Trained:
    """What is needed to rebuild a run's method anywhere: configuration and one checkpoint's state."""

    run: Run
    config: TrainingConfig
    entry: Entry
    state: dict[str, Any]

    @classmethod
    def open(cls, place: str) -> Trained:
        """The newest checkpoint of the run in folder `place`, or `RUN/checkpoints/step-....pt`, or `RUN/checkpoints/best`.

        Raises:
            UserError: when there is no run or no such checkpoint.
        """
        folder, file = _split(place)
        run = Run.open(folder)
        if run.kind not in CONFIG_OF_COMMAND:
            raise UserError(f"{folder} is a run of quorum {run.kind}, which trains no network; give a run of pretrain or semisup")
        entries = {entry.file: entry for entry in run.checkpoints.entries()}
        if file == "best" and (best := run.checkpoints.best()):
            file = best.file
        if not entries:
            raise UserError(f"{folder} has no finished checkpoint yet")
        if file and file not in entries:
            raise UserError(f"{folder} has no checkpoint {file!r}{nearest(file, entries)}; it has {', '.join(entries)}")
        entry = entries[file] if file else list(entries.values())[-1]
        config = found_in(read_stored(run.config_file(), CONFIG_OF_COMMAND[run.kind]), run.location)
        return cls(run, config, entry, run.checkpoints.load(entry))

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The shards that the run trains on."""
        return Dataset.open(self.config.data)

    @property
    def split(self) -> str:
        """The split of the shards that the run trains on."""
        return self.config.stream.split

    @functools.cached_property
    def selection(self) -> Selection | None:
        """The labelled instances, where the run has some; the file is read once."""
        return open_selection(self.config)

    @property
    def view(self) -> EvaluationView:
        """The one view that evaluation takes of an image."""
        return evaluation_view(self.config)

    @property
    def precision(self) -> str:
        """That its networks run in."""
        return self.config.compute.precision

    @property
    def backbone(self) -> dict[str, Any]:
        """Arguments of `algos.networks.build_backbone`, without the size of the images."""
        return asdict(self.config.backbone)

    @functools.cached_property
    def features(self) -> int:
        """Numbers that the backbone gives an image [F]."""
        return feature_size(new_backbone(self.config))

    @property
    def place(self) -> str:
        """What `open` finds this checkpoint by, from anywhere."""
        return str(self.run.location / "checkpoints" / self.entry.file)

    def method(self, *, untrained: bool = False) -> Method:
        """The method with its trained state, or as it was before the first step.

        Raises:
            UserError: for a configuration or data that the checkpoint does not fit.
        """
        torch.manual_seed(self.config.seed)
        try:
            backbone = new_backbone(self.config)
            if untrained and self.config.init_from:
                start_from(backbone, self.config)
            method = build_method(self.config, backbone, self.dataset, self.selection)
            if not untrained:
                method.load_state_dict(self.state["method"])
        except (ValueError, RuntimeError, KeyError) as error:
            said = str(error).strip().split("\n", maxsplit=1)[0]
            raise UserError(
                f"{self.place} does not fit the run's configuration or data ({said}); restore what it was trained with"
            ) from error
        method.network.eval()
        return method


def new_backbone(config: TrainingConfig) -> nn.Module:
    """The backbone that a configuration names, with random weights.

    Raises:
        ValueError: when it cannot be built.
    """
    return build_backbone(**asdict(config.backbone), image_size=image_size(config))


def _split(place: str) -> tuple[str, str]:
    """Folder of the run, and the checkpoint file in it where `place` names one; a URI's query belongs to the folder."""
    base, mark, query = place.partition("?") if "://" in place else (place, "", "")
    folder, found, file = base.rpartition("/checkpoints/")
    if not found or (Location.of(place) / RUN_FILE).exists():
        return place, ""
    return f"{folder}{mark}{query}", file


def _describe(config: TrainingConfig) -> str:
    backbone = config.backbone
    options = f", options {backbone.options}" if backbone.options else ""
    return f"{backbone.name!r} (stem {backbone.stem}, images of {image_size(config)} px{options})"


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
            f"init_from {config.init_from} has backbone {_describe(trained.config)}, "
            f"which does not fit this recipe's {_describe(config)}; make them equal"
        ) from error


def check_network(config: TrainingConfig, *, resumed: bool = False) -> None:
    """Refuse a backbone that cannot be built, or weights that do not fit it.

    Raises:
        UserError: naming what to change.
    """
    try:
        with torch.device("meta"):
            new_backbone(config)
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.init_from and not resumed:
        start_from(new_backbone(config), config)
