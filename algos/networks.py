"""Backbones and heads: torchvision ResNets, any timm model, Wide-ResNets; the projector and the predictor.

Every backbone maps images (B, 3, S, S) to features (B, F) and carries `num_features` = F.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algos.check_ranges import SMALL_IMAGE
from algos.precision import in_fp32


def _family(name: str) -> str:
    """`timm`, `wrn` or `torchvision`; a `ValueError` with the nearest valid name otherwise."""
    if name.startswith("timm/"):
        import timm

        known = timm.list_models()
        if name.removeprefix("timm/") in known:
            return "timm"
        near = difflib.get_close_matches(name.removeprefix("timm/"), known, n=1)
        raise ValueError(f"timm has no model {name.removeprefix('timm/')!r}" + (f"; nearest: timm/{near[0]}" if near else ""))
    if match := re.fullmatch(r"wrn-(\d+)-(\d+)", name):
        if int(match[1]) < 10 or (int(match[1]) - 4) % 6 or int(match[2]) < 1:
            raise ValueError(f"backbone {name!r}: the depth of a Wide-ResNet is 6 n + 4 from 10 on, for example wrn-28-2")
        return "wrn"
    import torchvision

    known = [m for m in torchvision.models.list_models(torchvision.models) if re.match(r"(wide_)?resne", m)]
    if name in known:
        return "torchvision"
    import timm

    plain = name.casefold().removeprefix("timm/")
    of_timm = [f"timm/{plain}"] if plain in timm.list_models() and plain not in known else []
    near = of_timm or difflib.get_close_matches(name.casefold(), [*known, "wrn-28-2", "timm/resnet50"], n=1, cutoff=0.4)
    raise ValueError(
        f"unknown backbone {name!r}" + (f"; nearest: {near[0]}" if near else "") + " (also: timm/NAME, wrn-DEPTH-WIDTH)"
    )


def build_backbone(
    name: str, *, image_size: int, stem: str = "auto", stem_stride: int = 1, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """A backbone for images of `image_size` px, without its classifier.

    Args:
        name: a torchvision ResNet (`resnet50`), `timm/NAME`, or `wrn-DEPTH-WIDTH` (`wrn-28-2`).
        image_size: side of the images, px.
        stem: `imagenet` keeps the network's own; `small` is one 3x3 convolution without pooling, for networks with `conv1` and
            `maxpool`; `auto` takes `small` up to 64 px.
        stem_stride: stride of the small stem.
        options: further arguments of the model's constructor.

    Raises:
        ValueError: for an unknown name, options that the model does not take, or a small stem on a network that has none to
            replace.
    """
    network = _build(name, dict(options or {}))
    if stem == "small" or (stem == "auto" and image_size <= SMALL_IMAGE and hasattr(network, "maxpool")):
        _use_small_stem(name, network, stem_stride)
    return network


def _build(name: str, options: dict[str, Any]) -> nn.Module:
    family = _family(name)
    network: nn.Module
    for option, value in options.items():  # nothing else looks: a network whose every path is dropped learns in silence
        if "drop" in option and isinstance(value, int | float) and not 0 <= value < 1:
            raise ValueError(f"backbone {name!r} has {option} {value}; it is a share that is left out, 0 or more and below 1")
    try:
        if family == "timm":
            import timm

            network = timm.create_model(name.removeprefix("timm/"), num_classes=0, **options)
        elif family == "wrn":
            depth, width = (int(part) for part in name.split("-")[1:])
            network = WideResNet(depth, width, **options)
        else:
            import torchvision

            network = torchvision.models.get_model(name, weights=None, **options)
            network.num_features = network.get_submodule("fc").in_features
            network.fc = nn.Identity()
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        what = f"does not take the options {options}" if options else "cannot be built"
        raise ValueError(f"backbone {name!r} {what}: {error}") from error
    return network


def _use_small_stem(name: str, network: nn.Module, stride: int) -> None:
    if not hasattr(network, "conv1") or not hasattr(network, "maxpool"):
        raise ValueError(f"backbone {name!r} has no ResNet stem to make small; set stem: imagenet")
    convolutions = [layer for layer in network.get_submodule("conv1").modules() if isinstance(layer, nn.Conv2d)]
    channels = convolutions[0].in_channels, convolutions[-1].out_channels
    network.conv1 = nn.Conv2d(*channels, 3, stride, 1, bias=False)
    network.maxpool = nn.Identity()


def has_small_stem(network: nn.Module) -> bool:
    """Whether `build_backbone` made the network's stem small."""
    return isinstance(getattr(network, "maxpool", None), nn.Identity)


def has_layers(network: nn.Module) -> bool:
    """Whether a network says which of its parameters are of which layer, as timm's do."""
    return hasattr(network, "group_matcher")


class WideResNet(nn.Module):
    """Wide residual network of depth 6 n + 4 for images of about 32 px.

    Source: Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016; LeakyReLU 0.1 as semi-supervised work uses it.
    """

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        channels = [16, 16 * width, 32 * width, 64 * width]
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 3, padding=1, bias=False)]
        for group in range(3):
            for block in range(blocks):
                inputs = channels[group] if block == 0 else channels[group + 1]
                layers.append(_WideBlock(inputs, channels[group + 1], stride=2 if group > 0 and block == 0 else 1))
        self.layers = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(channels[3])
        self.num_features = channels[3]

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 64 * width) of images (B, 3, S, S)."""
        features: Tensor = self.norm(self.layers(images))
        return F.leaky_relu(features, 0.1).mean(dim=(2, 3))


class _WideBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.leaky_relu(self.norm1(x), 0.1)
        skip: Tensor = x if self.shortcut is None else self.shortcut(active)
        active = F.leaky_relu(self.norm2(self.conv1(active)), 0.1)
        return skip.add(self.conv2(active))


def feature_size(backbone: nn.Module) -> int:
    """Features F that a backbone gives an image: of some of timm's those of a layer behind the `num_features` of its maps."""
    return cast("int", getattr(backbone, "head_hidden_size", None) or backbone.num_features)


def projector(in_features: int, out_features: int) -> nn.Sequential:
    """CoKe's projector in-in-in-D: BatchNorm after each layer, the last too, and ReLU between."""
    return _mlp([in_features, in_features, in_features, out_features], norm_last=True)


def predictor(features: int, hidden: int) -> nn.Sequential:
    """CoKe's predictor D-hidden-D: BatchNorm and ReLU between."""
    return _mlp([features, hidden, features], norm_last=False)


def light_projector(in_features: int, out_features: int) -> nn.Sequential:
    """ProtoCon's projector in-in-D: LeakyReLU 0.1 between, no BatchNorm."""
    return nn.Sequential(
        nn.Linear(in_features, in_features), nn.LeakyReLU(0.1, inplace=True), nn.Linear(in_features, out_features)
    )


def _mlp(sizes: list[int], *, norm_last: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = index == len(sizes) - 2
        normed = not last or norm_last
        layers.append(nn.Linear(inputs, outputs, bias=not normed))
        layers += [nn.BatchNorm1d(outputs)] if normed else []
        layers += [] if last else [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class ProjectedNetwork(nn.Module):
    """Backbone, projector and predictor; unit embeddings z (projected) and p (predicted).

    Views of one resolution go through the backbone as one batch.

    Args:
        backbone: images -> features (B, F), with `num_features`.
        dim: D of the embeddings.
        predictor_hidden: width of the predictor; `None` for no predictor (then p is z).
    """

    def __init__(self, backbone: nn.Module, dim: int, predictor_hidden: int | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector(feature_size(backbone), dim)
        self.predictor = predictor(dim, predictor_hidden) if predictor_hidden else nn.Identity()

    def forward(self, groups: list[list[Tensor]]) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Embed groups of views, each group of one resolution; for each group its views' z and p, (B, D) float32."""
        embedded = []
        for views in groups:
            features = self.backbone(views[0] if len(views) == 1 else torch.cat(views))
            z = in_fp32(self.projector, features)
            p = in_fp32(self.predictor, z)
            z, p = F.normalize(z, dim=1), F.normalize(p, dim=1)
            embedded.append((list(z.chunk(len(views))), list(p.chunk(len(views)))))
        return embedded


class ClassifiedNetwork(nn.Module):
    """Backbone, linear classifier and projector: logits and unit embeddings of images.

    Args:
        backbone: images -> features (B, F), with `num_features`.
        num_classes: C.
        dim: D of the embeddings.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(feature_size(backbone), num_classes)
        self.projector = light_projector(feature_size(backbone), dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and embeddings (B, D), both float32."""
        features = self.backbone(images)
        return self.classifier(features).float(), F.normalize(in_fp32(self.projector, features), dim=1)


class Classifier(nn.Module):
    """Backbone and classifier of a `ClassifiedNetwork`: images (B, 3, S, S) -> logits (B, C)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier = network.get_submodule("backbone"), network.get_submodule("classifier")

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images."""
        logits: Tensor = self.classifier(self.backbone(images)).float()
        return logits


class ProbedNetwork(nn.Module):
    """A backbone in evaluation mode and linear classifiers on its features, which do not know of each other.

    BatchNorm keeps its running statistics, so that what is learned does not depend on which rows a worker has.

    Args:
        backbone: images -> features (B, F), with `num_features`.
        num_classes: C.
        probes: how many classifiers.
        trains_backbone: whether gradients reach the backbone.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, probes: int, *, trains_backbone: bool) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(trains_backbone)
        self.probes = nn.ModuleList(nn.Linear(feature_size(backbone), num_classes) for _ in range(probes))
        for parameter in self.probes.parameters():
            nn.init.zeros_(parameter)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits (B, C) float32 of each classifier."""
        features = self.backbone(images)
        return [in_fp32(probe, features) for probe in self.probes]
