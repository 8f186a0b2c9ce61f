"""Turning the hue of whole batches, by an angle of each image's own, in few passes over the pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Images (B, 3, S, S) in [0, 1] with their hues moved around the circle; value and saturation of HSV stay.

    With hue h in sixths of the circle, V = max and m = min of a pixel's channels, channel n, of hue h_n (red 0, green 2, blue 4),
    is m + (V - m) * clamp(2 - d(h, h_n), 0, 1), with d the distance on the circle; so nothing goes through HSV.
    The numbers of `kornia.enhance.adjust_hue` but for rounding, in fewer passes; benchmarks/images/augmenting.py.

    Args:
        images: floating-point, on any device.
        turns: (B,) parts of the circle in [-1/2, 1/2], on the same device.

    Returns:
        As the images.
    """
    highest, lowest = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    chroma = highest - lowest
    red, green, blue = images.split(1, dim=1)
    in_green_or_blue = torch.where(
        highest == green, (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4)
    )  # fmt: skip
    hue = torch.where(highest == red, green - blue, in_green_or_blue).div_(chroma.masked_fill(chroma == 0, 1))
    hue.add_(6 * turns[:, None, None, None])
    channels = 2 * torch.arange(3, dtype=images.dtype, device=images.device)[:, None, None]  # made there: no copy to wait for
    distance = (hue + (3 - channels)).remainder_(6).sub_(3).abs_()
    return torch.addcmul(lowest, chroma, (2 - distance).clamp_(0, 1))
