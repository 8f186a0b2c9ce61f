"""Weights that timm publishes, as `timm/resnet18.a1_in1k`: from its cache on this machine, or else from the network."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from pipelines.config.published_names import TIMM
from pipelines.errors import UserError, nearest
from pipelines.runs.fetched_weights import file_of_address, file_of_hub
from pipelines.runs.initial_weights import InitialWeights, fitted
from pipelines.runs.weight_files import WeightFile, read_weight_file
from pipelines.stream.images.center_crops import EvaluationView


@dataclass(frozen=True)
class Published:
    """One set of weights that timm publishes.

    Attributes:
        model: timm's name of the network.
        tag: which of its weights.
        about: what timm says of them: where they are, and what images they expect.
    """

    model: str
    tag: str
    about: Any

    @classmethod
    def find(cls, place: str) -> Published:
        """Those called `timm/MODEL.TAG`, or of `timm/MODEL` the ones that timm takes itself.

        Raises:
            UserError: for a name that timm does not know, with the nearest that it does, or a model without weights.
        """
        import timm

        name = place.removeprefix(TIMM)
        model, _, tag = name.partition(".")
        models = timm.list_models()
        if model not in models:
            raise UserError(f"timm has no model {model!r}{nearest(model, models, TIMM)}; give timm/MODEL or timm/MODEL.TAG")
        known = [one.partition(".")[2] for one in timm.list_pretrained(f"{model}.*")]
        if not known and not timm.models.is_model_pretrained(model):
            raise UserError(f"timm publishes no weights of {model}; give those of another model, or a file")
        if tag and tag not in known:
            raise UserError(f"timm has no weights {tag!r} of {model}{nearest(tag, known)}; it has {', '.join(known)}")
        about = timm.models.get_pretrained_cfg(name)
        return cls(model, about.tag or "", about)

    @property
    def name(self) -> str:
        """`timm/MODEL.TAG`."""
        return f"{self.backbone}.{self.tag}" if self.tag else self.backbone

    @property
    def backbone(self) -> str:
        """What a recipe calls the network."""
        return f"{TIMM}{self.model}"

    @property
    def view(self) -> EvaluationView:
        """What timm takes of an image for them, but for what `otherwise` says.

        Raises:
            UserError: for images that are not square or have other channels than red, green and blue.
        """
        channels, height, width = self._images["input_size"]
        if channels != 3 or height != width:
            raise UserError(f"{self.name} takes images of {channels} x {height} x {width}; only square ones in RGB are made")
        return EvaluationView(height, self._images["mean"], self._images["std"], crop=self._images["crop_pct"])

    @property
    def otherwise(self) -> list[str]:
        """How timm takes it differently."""
        ways, mode = [], self._images["crop_mode"]
        if mode != "center":
            ways.append(f"timm shows them by crop mode {mode!r}, where here the central square is cut out")
        if (filtered := self._images["interpolation"]) != "bilinear":
            ways.append(f"timm resizes their images by the {filtered} filter, where here it is the bilinear one")
        return ways

    @functools.cached_property
    def _images(self) -> dict[str, Any]:
        import timm

        found: dict[str, Any] = timm.data.resolve_data_config(pretrained_cfg=self.about.to_dict())
        return found

    def weights(self, network: nn.Module, options: Mapping[str, Any], about: str) -> InitialWeights:
        """The weights of `network`.

        Args:
            network: that model, without a classifier.
            options: arguments that it was built with.
            about: what the network is, in a sentence that refuses.

        Raises:
            UserError: for weights that are neither here nor to be fetched, or do not fit the network.
        """
        whole = self._loaded(options)
        cast("Any", whole).reset_classifier(0)  # which every model of timm has, and no type tells
        matched = fitted(WeightFile(whole.state_dict(), {}), network, self.name, about)
        return InitialWeights(matched.tensors, self.name, [], (self.about.mean, self.about.std))

    def _loaded(self, options: Mapping[str, Any]) -> nn.Module:
        """The model with its classifier, so that timm finds every weight in the file and none left over."""
        import timm

        path, foreign = self._path(), bool(self.about.custom_load and not self.about.hf_hub_id)  # the hub has timm's own form
        if not foreign:
            read_weight_file(path)  # which refuses code, and says what is damaged
        overlay = {"file": path, "custom_load": foreign}
        try:
            network: nn.Module = timm.create_model(
                self.name.removeprefix(TIMM), pretrained=True, pretrained_cfg_overlay=overlay, **options
            )
        except Exception as error:  # a damaged file, or a network that the options make another
            said = " ".join(str(error).split())
            given = f" with the options {dict(options)}, which may make it another" if options else ""
            raise UserError(f"the weights {self.name} in {path} do not fit the model{given} ({said[:300]})") from error
        return network

    def _path(self) -> str:
        """Of the file on this machine."""
        what = f"the weights {self.name}"
        if self.about.hf_hub_id:
            return file_of_hub(self.about.hf_hub_id, self.about.hf_hub_filename, what)
        return file_of_address(self.about.url if isinstance(self.about.url, str) else self.about.url[0], what)
