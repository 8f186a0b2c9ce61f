"""RandAugment and Cutout for whole batches on the device, from uniform draws that the caller makes for the global batch.

Source: Cubuk et al., "RandAugment", 2020, with the operations and ranges that FixMatch (Sohn et al., NeurIPS 2020) uses: each
chosen operation is applied with probability one half and a strength uniform up to the magnitude. Shapes: B images, S px.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.enhance import adjust_brightness_accumulative, adjust_contrast_with_mean_subtraction, sharpness
from torch import Tensor

DRAWS = 3  # uniform numbers that an operation needs: which, whether, how strong; the sign shares the last
APPLIED = 0.5
GREY = 0.5  # what lies outside a moved image, and under Cutout
Operation = Callable[[Tensor, Tensor], Tensor]  # images (B, 3, S, S) in [0, 1], signed strength (B,) in (-1, 1) -> images


def _moved(images: Tensor, matrices: Tensor) -> Tensor:
    """Images under affine maps (B, 2, 3) of output to input coordinates in [-1, 1]."""
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images - GREY, grid, mode="bilinear", align_corners=False) + GREY  # zeros outside are grey


def _affine(images: Tensor, **cells: Tensor) -> Tensor:
    """Images under the identity map with some cells replaced: `a01` is row 0, column 1."""
    matrices = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
    for name, values in cells.items():
        matrices[:, int(name[1]), int(name[2])] = values
    return _moved(images, matrices)


def _rotate(images: Tensor, strength: Tensor) -> Tensor:
    angle = strength * (torch.pi / 6)
    return _affine(images, a00=angle.cos(), a01=-angle.sin(), a10=angle.sin(), a11=angle.cos())


def _factor(strength: Tensor) -> Tensor:
    return 0.05 + 0.9 * strength.abs()


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(other, images, factor[:, None, None, None])


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    step = (2 ** (strength.abs() * 4).round())[:, None, None, None]  # keeps 8 to 4 bits
    return (images * 255 / step).floor() * step / 255


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    threshold = (1 - strength.abs())[:, None, None, None]
    return torch.where(images >= threshold, 1 - images, images)


def _bytes(name: str) -> Operation:
    """An operation of torchvision that works on 8-bit images."""

    def apply(images: Tensor, _: Tensor) -> Tensor:
        from torchvision.transforms.v2 import functional

        operation: Callable[[Tensor], Tensor] = getattr(functional, name)
        return operation((images * 255).round().to(torch.uint8)).float() / 255

    return apply


OPERATIONS: dict[str, Operation] = {
    "identity": lambda images, _: images,
    "shear_x": lambda images, strength: _affine(images, a01=strength * 0.3),
    "shear_y": lambda images, strength: _affine(images, a10=strength * 0.3),
    "translate_x": lambda images, strength: _affine(images, a02=strength * 0.6),  # 0.3 of the side
    "translate_y": lambda images, strength: _affine(images, a12=strength * 0.6),
    "rotate": _rotate,
    "brightness": lambda images, strength: adjust_brightness_accumulative(images, _factor(strength)),
    "contrast": lambda images, strength: adjust_contrast_with_mean_subtraction(images, _factor(strength)),
    "colour": lambda images, strength: _blend(images, rgb_to_grayscale(images).expand_as(images), _factor(strength)),
    "sharpness": lambda images, strength: sharpness(images, _factor(strength)),
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _bytes("autocontrast"),
    "equalize": _bytes("equalize"),
}


def randaugment(images: Tensor, magnitude: float, uniform: Tensor) -> Tensor:
    """Apply one random operation to each image (B, 3, S, S) in [0, 1]; images in place.

    Args:
        images: on the device.
        magnitude: largest strength, of 10.
        uniform: draws (B, DRAWS) in [0, 1) on the host, which is where it is decided which rows an operation touches.
    """
    which, whether, strength = uniform.T
    chosen = torch.where(whether < APPLIED, (which * len(OPERATIONS)).long(), 0)
    signed = ((2 * strength - 1) * (magnitude / 10)).to(images.device, non_blocking=True)
    for number, operation in enumerate(OPERATIONS.values()):
        rows = (chosen == number).nonzero().squeeze(1)
        if number and len(rows):
            on_device = rows.to(images.device, non_blocking=True)
            images.index_copy_(0, on_device, operation(images[on_device], signed[on_device]).clamp(0, 1).contiguous())
    return images


def cutout(images: Tensor, share: float, uniform: Tensor) -> Tensor:
    """Grey out a square of `share` of the side in each image (B, 3, S, S), around a uniform place; it may reach over the border.

    Args:
        images: on the device.
        share: of the side, below 1.
        uniform: draws (B, 2) in [0, 1) on the host.
    """
    size = images.shape[-1]
    places = torch.arange(size, device=images.device) + 0.5
    x, y = uniform.to(images.device, non_blocking=True).T[..., None] * size
    half = share * size / 2
    hidden = ((places - y).abs() < half)[:, None, :, None] & ((places - x).abs() < half)[:, None, None, :]
    return images.masked_fill_(hidden, GREY)
