"""Boxes of pictures as squares of pixels, a batch at a time on its device, by PIL's bilinear filter.

A square is the picture between two matrices, whose rows hold the filter's weights; pictures of different sizes, padded to one
size, make two batched products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

TOGETHER = 32  # pictures that are padded to the largest of them at a time, at most
MOST_PADDED = 1 << 24  # px of these


def squares(pictures: Sequence[Tensor], boxes: Tensor, size: int) -> Tensor:
    """One box of each picture.

    Args:
        pictures: uint8 (3, H, W) each, on one device.
        boxes: (B, 4) float32 on the host: left, top, right and bottom in px.
        size: of the squares.

    Returns:
        uint8 (B, 3, S, S) on the pictures' device, in the layout channels_last.
    """
    cut = [_cut(picture, box, size) for picture, box in zip(pictures, boxes.tolist(), strict=True)]
    parts, begun = list[Tensor](), 0
    for end in _ends([picture.shape[1:] for picture, _ in cut]):
        parts.append(_squares(cut[begun:end], size))
        begun = end
    return torch.cat(parts)


def _cut(picture: Tensor, box: Sequence[float], size: int) -> tuple[Tensor, list[float]]:
    """The part of a picture that the filter reads for a box, and the box in it."""
    left, top, right, low = box
    across, down = (math.ceil(max((end - start) / size, 1)) for start, end in ((left, right), (top, low)))
    x, y = max(math.floor(left) - across, 0), max(math.floor(top) - down, 0)
    part = picture[:, y : math.ceil(low) + down, x : math.ceil(right) + across]
    return part, [left - x, top - y, right - x, low - y]


def _ends(shapes: Sequence[torch.Size]) -> Iterator[int]:
    """Where groups of pictures end that are padded to one size."""
    begun, height, width = 0, 0, 0
    for place, (own_height, own_width) in enumerate(shapes):
        taller, wider, count = max(height, own_height), max(width, own_width), place - begun + 1
        if count > 1 and (count > TOGETHER or count * taller * wider > MOST_PADDED):
            yield place
            begun, taller, wider = place, own_height, own_width
        height, width = taller, wider
    yield len(shapes)


def _squares(cut: Sequence[tuple[Tensor, Sequence[float]]], size: int) -> Tensor:
    device = cut[0][0].device
    dtype = torch.float16 if device.type == "cuda" else torch.float32  # whose rounding is a quarter of a level at the most
    sizes = torch.tensor([part.shape[1:] for part, _ in cut])
    height, width = sizes.max(dim=0).values.tolist()
    padded = torch.zeros(len(cut), 3, height, width, dtype=dtype, device=device)
    for (part, _), room in zip(cut, padded, strict=True):
        room[:, : part.shape[1], : part.shape[2]] = part
    told = torch.cat([torch.tensor([box for _, box in cut]), sizes], dim=1).to(device, non_blocking=True)
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
