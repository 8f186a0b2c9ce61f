"""Gaussian blur of whole batches, with a sigma of each image's own: on a GPU as two products with banded matrices."""

from __future__ import annotations

import functools

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor


def gaussian_blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Images (B, 3, S, S) convolved with a Gaussian over a tenth of the side, as SimCLR has it; borders are mirrored.

    Args:
        images: floating-point, on any device.
        sigmas: (B,) above zero, in pixels; on the host.

    Returns:
        As the images.
    """
    taps = taps_of(images.shape[-1])
    if images.device.type == "cpu":
        blurred: Tensor = gaussian_blur2d(images, (taps, taps), sigmas[:, None].expand(-1, 2))
        return blurred
    return banded_blur(images, sigmas, taps)


def taps_of(size: int) -> int:
    """Taps of the kernel for images of a side: the odd number at a tenth of it, 3 at least."""
    return max(3, size // 10 | 1)


def banded_blur(images: Tensor, sigmas: Tensor, taps: int) -> Tensor:
    """The same, over so many taps, by one (S, S) matrix an image: A X A^T.

    Ten times the arithmetic of a separable convolution, in the form that GPUs are quickest at and CPUs are not:
    benchmarks/images/augmenting.py. There it is in half precision, whose rounding is a third of a level of 255 at the most.
    """
    size, offsets = images.shape[-1], torch.arange(taps) - taps // 2
    images = images.to(torch.float16 if images.device.type == "cuda" else images.dtype, memory_format=torch.contiguous_format)
    weights = torch.softmax(-0.5 * (offsets / sigmas[:, None]).square(), dim=1).to(images.device, images.dtype, non_blocking=True)
    bands = (weights @ _bands(size, taps, images.dtype, images.device)).view(len(images), size, size)
    columns = (images.flatten(1, 2) @ bands.mT).view_as(images)
    return bands[:, None] @ columns


@functools.lru_cache
def _bands(size: int, taps: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """For each tap of the kernel, which pixel (column) it takes for which (row), (taps, S * S) of zeros and ones."""
    pixels, tap = torch.arange(size, device=device), torch.arange(taps, device=device)  # made there: no copy to wait for
    source = (pixels + (tap - taps // 2)[:, None]).abs()  # mirrored at the first pixel, and below at the last
    source = torch.where(source < size, source, 2 * (size - 1) - source)
    return (source[..., None] == pixels).to(dtype).reshape(taps, size * size)
