"""Boxes of pictures as squares of pixels, a batch at a time on its device, by PIL's bilinear filter.

A square is the picture between two matrices, whose rows hold the filter's weights; pictures of different sizes, padded to one
size, make two batched products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TOGETHER = 32  # pictures that are padded to the largest of them at a time


def squares(pictures: Sequence[Tensor], boxes: Tensor, size: int) -> Tensor:
    """One box of each picture.

    Args:
        pictures: uint8 (3, H, W) each, on one device.
        boxes: (B, 4) float32 on the host: left, top, right and bottom in px.
        size: of the squares.

    Returns:
        uint8 (B, 3, S, S) on the pictures' device, in the layout channels_last.
    """
    parts = [
        _squares(pictures[first : first + TOGETHER], boxes[first : first + TOGETHER], size)
        for first in range(0, len(pictures), TOGETHER)
    ]
    return torch.cat(parts)


def _squares(pictures: Sequence[Tensor], boxes: Tensor, size: int) -> Tensor:
    device = pictures[0].device
    dtype = torch.float16 if device.type == "cuda" else torch.float32  # its rounding is less than a tenth of a level
    sizes = torch.tensor([picture.shape[1:] for picture in pictures])
    height, width = sizes.max(dim=0).values.tolist()
    padded = torch.zeros(len(pictures), 3, height, width, dtype=dtype, device=device)
    for picture, room in zip(pictures, padded, strict=True):
        room[:, : picture.shape[1], : picture.shape[2]] = picture
    told = torch.cat([boxes, sizes], dim=1).to(device, non_blocking=True)
    down = _weights(told[:, 1:4:2], told[:, 4], size, height).to(dtype)
    across = _weights(told[:, 0:4:2], told[:, 5], size, width).to(dtype)
    made = down[:, None] @ padded @ across[:, None].transpose(-1, -2)
    return made.round_().clamp_(0, 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)


def _weights(spans: Tensor, lengths: Tensor, size: int, most: int) -> Tensor:
    """Weights (B, S, `most`) of the source px of each px of a square, along one axis; those of each sum to 1.

    Args:
        spans: (B, 2), where the boxes begin and end.
        lengths: (B,) px that the pictures have.
        size: of the squares.
        most: px of the padded pictures.
    """
    start, end = spans.unbind(dim=1)
    step = (end - start) / size
    centers = start[:, None] + (torch.arange(size, device=spans.device) + 0.5) * step[:, None]
    places = torch.arange(most, device=spans.device) + 0.5
    distance = (places - centers[..., None]).abs() / step.clamp(min=1)[:, None, None]
    weights = (1 - distance).clamp(min=0) * (places < lengths[:, None, None])
    return weights / weights.sum(dim=-1, keepdim=True)
