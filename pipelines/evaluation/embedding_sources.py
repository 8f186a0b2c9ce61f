"""What images can be embedded with: the checkpoint of a run, or weights that others publish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from algos.class_scores import Guesses
from algos.networks import build_backbone
from pipelines.config.published_names import is_published
from pipelines.runs.published_weights import Published
from pipelines.runs.trained_model import Trained
from pipelines.stream.images.center_crops import EvaluationView

Columns = dict[str, Tensor]
SHARES = ".shares"  # behind a classifier's name, beside the column of its classes


class EmbeddingSource(Protocol):
    """What actors on any node embed with; it is sent to them."""

    @property
    def name(self) -> str:
        """That the embeddings say they are of."""

    @property
    def weights(self) -> str | None:
        """Digest of its weights, where no checkpoint has them."""

    @property
    def data(self) -> str | None:
        """Shards that it has of its own."""

    @property
    def view(self) -> EvaluationView:
        """What it takes of an image."""

    @property
    def precision(self) -> str:
        """That its network runs in."""

    @property
    def said(self) -> list[str]:
        """What the user should know of it."""

    def on(self, device: torch.device) -> Callable[[Tensor], Columns]:
        """From normalised pixels (B, 3, S, S) to columns, of which `feature` (B, F) is one, on a device."""


@dataclass(frozen=True)
class RunSource:
    """A run's checkpoint, whose file each actor reads.

    Attributes:
        name: place of the checkpoint.
        data: shards that the run trains on.
        view: as its evaluation has it.
        precision: as it was trained in.
        untrained: whether with the initial weights.
        classify: whether to ask the method's own classifiers too, each of which runs a backbone of its own.
    """

    name: str
    data: str | None
    view: EvaluationView
    precision: str
    untrained: bool = False
    classify: bool = False
    weights: str | None = None
    said: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, trained: Trained, *, untrained: bool = False, classify: bool = False) -> RunSource:
        """Of a run that is open."""
        return cls(trained.place, trained.config.data, trained.view, trained.precision, untrained, classify)

    def on(self, device: torch.device) -> Callable[[Tensor], Columns]:
        """Features, clusters (B, H), and the likeliest classes (B, k) of each classifier with their shares."""
        method = Trained.open(self.name).method(untrained=self.untrained).to(device)
        classifiers = {name: one.eval() for name, one in (method.classifiers() if self.classify else {}).items()}

        def columns(pixels: Tensor) -> Columns:
            features, clusters = method.embed(pixels)
            guessed = {name: Guesses.of_logits(classify(pixels)) for name, classify in classifiers.items()}
            classes = {name: guesses.classes for name, guesses in guessed.items()}
            shares = {f"{name}{SHARES}": guesses.shares for name, guesses in guessed.items()}
            return {**classes, **shares, "feature": features, "clusters": clusters.T}

        return columns


@dataclass(frozen=True)
class PublishedSource:
    """Weights that timm publishes; the machine that opened them sends them along.

    Attributes:
        name: of the weights, `timm/MODEL.TAG`.
        backbone: `timm/MODEL`.
        tensors: of the network, without a classifier.
        weights: their digest.
        view: as timm has it.
        said: how timm would show images otherwise.
    """

    name: str
    backbone: str
    tensors: dict[str, Tensor]
    weights: str
    view: EvaluationView
    said: list[str]
    data: str | None = None
    precision: str = "fp32"

    @classmethod
    def find(cls, place: str) -> PublishedSource:
        """By a name of timm's; see `Published.find`."""
        published = Published.find(place)
        view = published.view
        with torch.device("meta"):
            network = build_backbone(published.backbone, image_size=view.size, stem="imagenet")
        found = published.weights(network, {}, f"backbone {published.backbone!r}")
        return cls(published.name, published.backbone, found.tensors, found.digest, view, published.otherwise)

    def on(self, device: torch.device) -> Callable[[Tensor], Columns]:
        """Features."""
        network = build_backbone(self.backbone, image_size=self.view.size, stem="imagenet")
        network.load_state_dict(self.tensors)
        network.eval().to(device)
        return lambda pixels: {"feature": network(pixels)}


def embedding_source(place: str) -> EmbeddingSource:
    """What a user names to embed with: a run, one of its checkpoints, or `timm/MODEL.TAG`.

    Raises:
        UserError: when there is no such thing.
    """
    if is_published(place):
        return PublishedSource.find(place)
    return RunSource.of(Trained.open(place))
