"""The device side of augmentation: flip, colour, blur, solarise, RandAugment, Cutout and normalise whole batches of uint8 crops.

What happens to an image follows from a row of uniform draws that the caller makes for the *global* batch, so it does not
depend on how many workers share that batch. Draws live on the host: which rows an operation touches is known there, without
asking the device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor

from pipelines.views import randaugment
from pipelines.views.colour import change_colour
from pipelines.views.crops import CropSpec
from pipelines.views.gaussian_blur import gaussian_blur
from pipelines.views.view_config import ViewConfig

DRAWS = 10  # uniform numbers that every view of an image has: flip, jitter, its 4 strengths, grey, blur, its sigma, solarise


def draws_needed(view: ViewConfig) -> int:
    """Uniform numbers that a view of an image needs."""
    return DRAWS + view.randaugment * randaugment.DRAWS + (2 if view.cutout else 0)


@dataclass(frozen=True)
class RandomViews:
    """Some random views of each image: what tasks cut out, and what the device makes of that.

    Attributes:
        rules: of the views, all of one size.
    """

    rules: Sequence[ViewConfig]

    @property
    def crops(self) -> list[CropSpec]:
        """What tasks cut out of an image, one for each view."""
        return [CropSpec(rule.size, rule.scale, rule.pad) for rule in self.rules]

    @property
    def draws(self) -> int:
        """Uniform numbers that the device needs of a view, at most."""
        return max(map(draws_needed, self.rules))

    def finished(self, crops: np.ndarray, draws: np.ndarray, device: torch.device) -> list[Tensor]:
        """Each view of a batch, (B, 3, S, S) float32 in [0, 1] on the device.

        Args:
            crops: (B, views, S, S, 3) uint8.
            draws: (B, views, `self.draws`) float32 in [0, 1).
            device: that augments.
        """
        pixels = [torch.from_numpy(crops[:, index].copy()).permute(0, 3, 1, 2).to(device) for index in range(len(self.rules))]
        uniform = [torch.from_numpy(draws[:, index, : draws_needed(rule)].copy()) for index, rule in enumerate(self.rules)]
        return [augment(*each, np.arange(4)) for each in zip(pixels, self.rules, uniform, strict=True)]


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Float images (B, 3, S, S) in [0, 1], less the mean and over the deviation of each channel; in place."""
    return images.sub_(_channels(tuple(mean), images.device)).div_(_channels(tuple(std), images.device))


@functools.lru_cache
def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Values of the channels on the device; kept there, because a copy from the host would wait for it."""
    return torch.tensor(values, device=device)[:, None, None]


def augment(images: Tensor, view: ViewConfig, uniform: Tensor, colour_order: np.ndarray) -> Tensor:
    """Apply `view`'s random operations to crops.

    Args:
        images: (B, 3, S, S) uint8 on the device.
        view: the rule.
        uniform: (B, draws_needed(view)) in [0, 1) on the host.
        colour_order: permutation of 0..3, in which brightness, contrast, saturation and hue are changed.

    Returns:
        (B, 3, S, S) float32 in [0, 1].
    """
    flip, jitter, *strengths, gray, blur, sigma, solar = uniform.T[:DRAWS]
    images = _mirrored(images, flip < view.flip) / 255
    if any(view.jitter) and view.jitter_p > 0:
        changes = torch.stack([_change(*each) for each in zip(view.jitter, strengths, strict=True)], dim=1)
        order = [which for which in colour_order.tolist() if view.jitter[which] > 0]
        images = _on_some(images, jitter < view.jitter_p, lambda some, rows: change_colour(some, changes[rows], order))
    images = _on_some(images, gray < view.gray_p, lambda some, _: rgb_to_grayscale(some).expand_as(some))
    low, high = view.blur_sigma
    sigmas = low + sigma * (high - low)
    images = _on_some(images, blur < view.blur_p, lambda some, rows: gaussian_blur(some, sigmas[rows]))
    images = _on_some(images, solar < view.solarize_p, lambda some, _: torch.where(some >= 0.5, 1 - some, some))
    for first in range(DRAWS, DRAWS + view.randaugment * randaugment.DRAWS, randaugment.DRAWS):
        images = randaugment.randaugment(images, view.magnitude, uniform[:, first : first + randaugment.DRAWS])
    return randaugment.cutout(images, view.cutout, uniform[:, -2:]) if view.cutout else images


def _change(limit: float, draws: Tensor) -> Tensor:
    """What is added to a factor of 1 (B,): uniform, up to the limit in either direction, and no factor is below 0."""
    return limit * (2 * draws - 1) if limit <= 1 else draws * (1 + limit) - 1


def _mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """Images with the chosen rows turned left to right; others than those given, where there are any."""
    if not chosen.any():
        return images
    return torch.where(chosen.to(images.device, non_blocking=True)[:, None, None, None], images.flip(-1), images)


def _on_some(images: Tensor, chosen: Tensor, operation: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Replace the chosen rows by `operation(rows' images, row numbers on the host)`; in place, and in their layout."""
    rows = chosen.nonzero().squeeze(1)
    if len(rows) == 0:
        return images
    on_device = rows.to(images.device, non_blocking=True)
    some = images[on_device]
    layout = torch.channels_last if some.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    return images.index_copy_(0, on_device, operation(some, rows).to(images.dtype, memory_format=layout))
