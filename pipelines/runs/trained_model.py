"""A trained model from a run's folder or one of its checkpoint files."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algos.methods.method import Method
from algos.networks import build_backbone, feature_size, has_layers, has_small_stem
from pipelines.config.idle_keys import idle_keys
from pipelines.config.published_names import is_published
from pipelines.config.recipe import read_stored
from pipelines.config.training_config import CONFIG_OF_COMMAND, TrainingConfig
from pipelines.config.training_plan import build_method, image_size
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError, nearest
from pipelines.files.location import Location
from pipelines.runs.checkpoints import Entry
from pipelines.runs.image_sizes import check_sizes
from pipelines.runs.initial_weights import InitialWeights, weights_of_file
from pipelines.runs.published_weights import Published
from pipelines.runs.run_folder import RUN_FILE, Run
from pipelines.runs.training_inputs import evaluation_view, found_in, open_selection
from pipelines.runs.weight_files import SUFFIXES, is_weight_file
from pipelines.stream.images.center_crops import EvaluationView
from pipelines.views.augment import RandomViews
from pipelines.words import tell

OTHER_WEIGHTS = "pretrained", "checkpoint_path"  # options of timm's by which each worker would fetch them for itself


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
        if is_published(place):
            raise UserError(
                f"{place} is no run but weights of timm's, which quorum embed and --init-from take; give a run's folder"
            )
        folder, file = _split(place)
        if is_weight_file(folder) and not _is_run(folder):
            raise UserError(
                f"{place} is no run but a file, which --init-from may take; give a run's folder or a checkpoint of it"
            )
        run = Run.open(folder)
        if run.kind not in CONFIG_OF_COMMAND:
            what = "has the classifier of another run's network" if run.kind == "probe" else "trains no network"
            raise UserError(f"{folder} is a run of quorum {run.kind}, which {what}; give a run of pretrain or semisup")
        entries = {entry.file: entry for entry in run.checkpoints.entries()}
        if file == "best" and (best := run.checkpoints.best()):
            file = best.file
        if not entries:
            raise UserError(f"{folder} has no finished checkpoint yet")
        if file and file not in entries:
            has = f"it has {', '.join(entries)}, of which `best` names one"
            raise UserError(f"{folder} has no checkpoint {file!r}{nearest(file, ['best', *entries])}; {has}")
        entry = entries[file] if file else list(entries.values())[-1]
        config = found_in(read_stored(run.config_file(), CONFIG_OF_COMMAND[run.kind]), run.location)
        return cls(run, config, entry, run.checkpoints.load(entry))

    @property
    def named(self) -> str:
        """The checkpoint in words: a run's folder stands for its newest one, which need not be its best."""
        best = self.run.checkpoints.best()
        if best is None or best.file == self.entry.file:
            return f"checkpoint {self.entry.file}"
        which = "the newest" if self.entry == self.run.checkpoints.latest() else "an earlier one"
        return f"checkpoint {self.entry.file}, {which} (the best: {self.run.location}/checkpoints/best)"

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The shards that the run trains on, as they were when it began."""
        return Dataset.open(self.config.data).as_of(self.run.identity["data"])

    @property
    def split(self) -> str:
        """The split of the shards that the run trains on."""
        return self.config.stream.split

    @functools.cached_property
    def selection(self) -> Selection | None:
        """The labelled instances, where the run has some; the file is read once."""
        return open_selection(self.config)

    @property
    def random_views(self) -> RandomViews:
        """Two random views of an image, as the run's large ones are."""
        return two_views(self.config)

    @property
    def feature_images(self) -> int:
        """Images that figures of features are of."""
        return self.config.monitor.feature_images

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
    def backbone_weights(self) -> dict[str, Tensor]:
        """Of the checkpoint, by the backbone's own keys."""
        prefix = "backbone."
        network: dict[str, Tensor] = self.state["method"]["network"]
        return {name.removeprefix(prefix): tensor for name, tensor in network.items() if name.startswith(prefix)}

    @property
    def clusters(self) -> Tensor:
        """Cluster of each instance by its id in the checkpoint, (H, N) int32; -1 where it was not seen."""
        labels: Tensor = self.state["method"]["memory"]["labels"]
        return labels

    @property
    def num_clusters(self) -> list[int]:
        """K of each head in the checkpoint."""
        return list(self.state["method"]["kmeans"]["_extra_state"]["num_clusters"])

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
            if untrained:
                start_from(backbone, self.config, self.run.location)
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


def start_from(backbone: nn.Module, config: TrainingConfig, run: Location) -> None:
    """Give a backbone the weights that a run starts from: those that its folder keeps, or of an older run what it names.

    Raises:
        UserError: for weights that are damaged, gone or another network's.
    """
    weights = (InitialWeights.kept(run) or initial_weights(config)) if config.init_from else None
    if weights is not None:
        backbone.load_state_dict(weights.tensors)


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


def initial_weights(config: TrainingConfig) -> InitialWeights | None:
    """The weights that `config.init_from` names; `None` where a run starts from random ones.

    Raises:
        UserError: when there are no such weights, or they are another network's.
    """
    place = config.init_from
    if not place:
        return None
    with torch.device("meta"):
        backbone = new_backbone(config)
    if is_published(place):
        return _published(config, Published.find(place), backbone)
    if _is_run(place):
        return _of_run(config, Trained.open(place), backbone)
    if not is_weight_file(place):
        raise UserError(
            f"init_from {place} is neither a run, whose folder holds {RUN_FILE}, nor a file of weights ({', '.join(SUFFIXES)}), "
            "nor timm/MODEL.TAG; give one of these"
        )
    return weights_of_file(place, backbone, f"backbone {_describe(config)}")


def _is_run(place: str) -> bool:
    return (Location.of(_split(place)[0]) / RUN_FILE).exists()


def _published(config: TrainingConfig, published: Published, backbone: nn.Module) -> InitialWeights:
    if config.backbone.name != published.backbone:
        raise UserError(
            f"init_from {published.name} has weights of timm's {published.model}, and the recipe's backbone is "
            f"{config.backbone.name!r}; set --backbone.name {published.backbone}"
        )
    found = published.weights(backbone, config.backbone.options, f"backbone {_describe(config)}")
    return replace(found, said=[f"these are {published.name}"]) if config.init_from != published.name else found


def _of_run(config: TrainingConfig, trained: Trained, backbone: nn.Module) -> InitialWeights:
    weights = trained.backbone_weights
    if _shapes(weights) != _shapes(backbone.state_dict()):
        raise UserError(
            f"init_from {config.init_from} has backbone {_describe(trained.config)}, "
            f"which does not fit this recipe's {_describe(config)}; make them equal"
        )
    return InitialWeights(weights, trained.place, [], (trained.view.mean, trained.view.std))


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def say_of_start(config: TrainingConfig, weights: InitialWeights) -> None:
    """Tell what of the weights was chosen or left out, and whether they expect pixels that are normalised otherwise."""
    told, mine = list(weights.said), config.stream.normalization
    if weights.pixels is not None and not np.allclose(weights.pixels, (mine.mean, mine.std), atol=1e-3):
        mean, std = (list(part) for part in weights.pixels)
        told.append(
            f"they expect pixels of mean {mean} and std {std}, stream.normalization has {list(mine.mean)} and {list(mine.std)}; "
            f'for theirs: --stream.normalization.mean "{mean}" --stream.normalization.std "{std}"'
        )
    for line in told:
        tell(f"init_from {config.init_from}: {line}")


def check_network(config: TrainingConfig, *, resumed: bool = False) -> InitialWeights | None:
    """Refuse a backbone that cannot be built, takes no images of the recipe's sizes or has no layers where they matter.

    Weights that do not fit it are refused too.

    Returns:
        The weights that a run starts from; `None` for random ones, or for a resumed run, which has its own.

    Raises:
        UserError: naming what to change.
    """
    name, options = config.backbone.name, config.backbone.options
    if not resumed and (given := [key for key in OTHER_WEIGHTS if options.get(key)]):
        raise UserError(f"backbone.options has {given[0]}, but weights come by init_from, as timm/MODEL.TAG; leave it out")
    try:
        with torch.device("meta"):
            backbone = new_backbone(config).eval()
    except ValueError as error:
        raise UserError(str(error)) from error
    check_sizes(asdict(config.backbone), backbone, [view.size for view in (*config.views.large, *config.views.small)])
    if not resumed and _idle_stride(config, backbone):
        tell(f"backbone.stem_stride does nothing while backbone {name!r} has no ResNet stem to make small; leave it out")
    if config.optimizer.layer_decay < 1 and not has_layers(backbone):
        raise UserError(
            f"optimizer.layer_decay is {config.optimizer.layer_decay}, but backbone {name!r} does not say which of its weights "
            "are of which layer; set it to 1, or take a backbone of timm's, as timm/resnet50 or a ViT"
        )
    return None if resumed else initial_weights(config)


def _idle_stride(config: TrainingConfig, backbone: nn.Module) -> bool:
    """Whether a stride is given to a network that has no small stem, for which no key of the configuration speaks."""
    return config.backbone.stem_stride != 1 and not has_small_stem(backbone) and "backbone.stem_stride" not in idle_keys(config)


def two_views(config: TrainingConfig) -> RandomViews:
    """Two random views of an image, by the rules of a configuration's large ones in turn."""
    return RandomViews(list(islice(cycle(config.views.flat[: config.views.num_large]), 2)))
