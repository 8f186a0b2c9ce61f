"""Decode once, crop as often as the recipe asks: the CPU side of augmentation, in Ray Data tasks.

Everything here ends in uint8 pixels; what follows (colour, blur, flip, normalise) runs batched on the worker's device.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipelines.datasets.encoded_image import open_image
from pipelines.views.coarse_picture import shown_coarsely
from pipelines.views.shown_picture import Showing

PIXEL_VERSION = "3"  # raised when the same image and draws give other pixels, here or on the device; each run keeps it
MAX_RATIO = 4 / 3  # of width to height; the smallest is its inverse
LOG_RATIO = math.log(MAX_RATIO)
ATTEMPTS = 10  # as torchvision's RandomResizedCrop tries before it falls back to the center


SHOWING = Showing()
Rows = Sequence[np.ndarray]
Pixels = tuple[int, int, int, int]


@dataclass(frozen=True)
class CropSpec:
    """One random crop: output size in px, and the range of its share of the image's area - or a padding of so many px."""

    size: int
    scale: tuple[float, float]
    pad: int = 0


def random_box(uniform: Sequence[Sequence[float]], width: int, height: int, scale: tuple[float, float]) -> Pixels:
    """Box (left, top, right, bottom) of a random resized crop from uniform draws (ATTEMPTS, 4) in [0, 1).

    The rule of torchvision's RandomResizedCrop: area uniform in `scale`, log aspect ratio uniform, the first of ten attempts that
    fits, else the largest central box of an allowed ratio. Written here because each image's draws must follow from its place in
    the epoch, and torchvision's come from a global state.
    """
    for area_draw, ratio_draw, x_draw, y_draw in uniform:
        area = width * height * (scale[0] + area_draw * (scale[1] - scale[0]))
        ratio = math.exp(LOG_RATIO * (2 * ratio_draw - 1))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x_draw * (width - w + 1)), int(y_draw * (height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * MAX_RATIO)), min(height, round(width * MAX_RATIO))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def random_crops(
    image: bytes, crops: Sequence[CropSpec], uniform: np.ndarray, showing: Showing = SHOWING, into: Rows | None = None
) -> Rows:
    """The crops of one image, which is decoded once.

    Args:
        image: encoded.
        crops: what to take.
        uniform: draws (crops, ATTEMPTS, 4) in [0, 1).
        showing: how the picture is shown.
        into: where to write each crop, uint8 (S, S, 3); otherwise they are new, and of a grey image (S, S, 1).

    Returns:
        The crops: `into`, if that is given.
    """
    picture = open_image(image)
    width, height = showing.size(picture)
    boxes = [_box(crop, draws.tolist(), width, height) for crop, draws in zip(crops, uniform, strict=True)]
    # No crop needs more pixels than its output has.
    spare = min(min(right - left, low - top) / crop.size for crop, (left, top, right, low) in zip(crops, boxes, strict=True))
    least = (picture.width / spare, picture.height / spare) if spare >= 2 else picture.size
    shown = shown_coarsely(picture, image, least, showing)
    views = into if into is not None else [shown.empty(crop.size) for crop in crops]
    for view, crop, draws, box in zip(views, crops, uniform, boxes, strict=True):
        shown.write(box, view)
        if crop.pad:
            view[...] = _shifted(view, crop.pad, draws)
    return views


def _box(crop: CropSpec, draws: list[list[float]], width: int, height: int) -> Pixels:
    """What is cut out of the image: a random box, or for a padded view the central square, which is shifted afterwards."""
    if not crop.pad:
        return random_box(draws, width, height, crop.scale)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _shifted(view: np.ndarray, pad: int, draws: np.ndarray) -> np.ndarray:
    """The view moved by up to `pad` px in each direction, its mirror image filling in."""
    top, left = (int(draw * (2 * pad + 1)) for draw in draws[0, 2:])
    size = len(view)
    places = _mirrored(size, pad)
    shifted: np.ndarray = view[places[top : top + size, None], places[left : left + size]]
    return shifted


@functools.lru_cache
def _mirrored(size: int, pad: int) -> np.ndarray:
    """Where in a row of `size` each place of the row padded by its mirror image comes from."""
    return np.pad(np.arange(size), pad, mode="reflect")


def center_crop(
    image: bytes, size: int, resize_to: int, showing: Showing = SHOWING, into: np.ndarray | None = None
) -> np.ndarray:
    """The evaluation view: shorter side to `resize_to` px, then the central square of `size` px, as `random_crops` gives it."""
    picture = open_image(image)
    shown = shown_coarsely(picture, image, (resize_to, resize_to), showing)
    if shown.former:
        shown = shown.as_whole()
    width, height = shown.size
    side = size * min(width, height) / resize_to
    left, top = (width - side) / 2, (height - side) / 2
    box = (max(left, 0), max(top, 0), min(left + side, width), min(top + side, height))
    view = into if into is not None else shown.empty(size)
    shown.write(box, view)
    return view


def thumbnail(image: bytes, side: int) -> Image.Image:
    """The whole picture, L or RGB, its longer side `side` px or what it has; decoded no finer than that needs."""
    picture = open_image(image)
    factor = min(side / max(picture.size), 1)
    shown = shown_coarsely(picture, image, (picture.width * factor, picture.height * factor), SHOWING)
    width, height = shown.size
    return shown.resized((max(round(width * factor), 1), max(round(height * factor), 1)))
