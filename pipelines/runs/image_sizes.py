"""Whether a backbone takes images of every size that a recipe's views have, and how one of a single size would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import yaml
from torch import nn

from algos.networks import build_backbone, feature_size
from pipelines.errors import UserError

Settings = Mapping[str, Any]
ANY_SIZE = ({"dynamic_img_size": True}, {"strict_img_size": False})  # options of timm's, the second of Swin and its like


def check_sizes(settings: Settings, network: nn.Module, sizes: Sequence[int]) -> None:
    """Refuse a backbone that does not take images of all sizes, or makes of an image no row of features.

    Args:
        settings: of the backbone, by key: its name, stem and options.
        network: that is built by it, on the device `meta`.
        sizes: of the images, px; the large views' first.

    Raises:
        UserError: naming the size, and options by which it would take all, where there are some; or what it makes of an image.
    """
    for size in dict.fromkeys(sizes):
        made, reason = _made(network, size)
        if reason:
            beside = f" beside those of {sizes[0]} px" if size != sizes[0] else ""
            raise UserError(
                f"backbone {settings['name']!r} takes no images of {size} px{beside} ({reason}); {_remedy(settings, sizes)}"
            )
        _check_features(settings, network, made)


def _check_features(settings: Settings, network: nn.Module, made: Any) -> None:
    """Refuse what a network makes of one image, if that is no row of its features."""
    features = getattr(network, "num_features", None) and feature_size(network)
    if not isinstance(made, torch.Tensor) or made.shape != (1, features):
        what = list(made.shape[1:]) if isinstance(made, torch.Tensor) else f"a {type(made).__name__}"
        raise UserError(
            f"backbone {settings['name']!r} with the options {dict(settings['options'])} makes {what} of an image, and a row of "
            "features is needed; leave out the options that change what it gives, as global_pool and features_only"
        )


def _made(network: nn.Module, size: int) -> tuple[Any, str]:
    """What a network makes of one image of `size` px; or why it takes none, by its own words."""
    try:
        return network(torch.empty(1, 3, size, size, device="meta")), ""
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return None, str(error).strip().split("\n", maxsplit=1)[0].rstrip(".") or type(error).__name__


def _remedy(settings: Settings, sizes: Sequence[int]) -> str:
    own = {"img_size": sizes[0]}
    several = len(set(sizes)) > 1
    more: list[dict[str, Any]] = [*ANY_SIZE, *(own | option for option in ANY_SIZE)] if several else [own]
    for option in more:
        options = {**settings["options"], **option}
        if _takes_all({**settings, "options": options}, sizes):
            spelled = yaml.safe_dump(options, default_flow_style=True, width=1000).strip()
            what = "its own, as timm spells it" if not several else "let it take all of them"
            return f'change the size of the views, or {what}: --backbone.options "{spelled}"'
    if several and _takes_all(settings, sizes[:1]):
        return f"give all views {sizes[0]} px, leave views.small out, or take a backbone of any size, as resnet50"
    return "change the size of the views, or take another backbone"


def _takes_all(settings: Settings, sizes: Sequence[int]) -> bool:
    try:
        with torch.device("meta"):
            network = build_backbone(**settings, image_size=sizes[0]).eval()
    except ValueError:
        return False
    return not any(_made(network, size)[1] for size in dict.fromkeys(sizes))
