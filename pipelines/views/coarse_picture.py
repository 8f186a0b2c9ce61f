"""A picture as it is shown, with no more pixels than its crops need; boxes of it are in the px of the whole one."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pipelines.views.decode import FORMER_PIXELS, coarsen_as_before, coarseness, decode
from pipelines.views.resample import Box, resample, resample_with_pil
from pipelines.views.shown_picture import FAR_LEFT, FAR_TOP, Showing


@dataclass(frozen=True)
class CoarsePicture:
    """A picture and where the whole one lies in it.

    Attributes:
        picture: L, RGB or opaque RGBA; good until this thread decodes the next one.
        size: width and height of the whole one as it is shown, px.
        scale: px of the picture for one of the whole, across and down.
        start: of the whole one in the picture, px from the left and from the top.
        former: whether it is shown as runs of before began.
    """

    picture: Image.Image
    size: tuple[int, int]
    scale: tuple[float, float]
    start: tuple[float, float]
    former: bool

    def as_whole(self) -> CoarsePicture:
        """The same, as if it were not coarse."""
        return replace(self, size=self.picture.size, scale=(1.0, 1.0), start=(0.0, 0.0))

    def empty(self, size: int) -> np.ndarray:
        """Room for a square of it: uint8 (S, S, 3), or (S, S, 1) for a grey one."""
        return np.empty((size, size, 1 if self.picture.mode == "L" else 3), np.uint8)

    def write(self, box: Box, view: np.ndarray) -> None:
        """Write a box of the whole picture into a square."""
        (resample_with_pil if self.former else resample)(self.picture, self.box(box), view)

    def resized(self, size: tuple[int, int]) -> Image.Image:
        """The whole picture with so many px, L or RGB, as a new one."""
        plain = self.picture if self.picture.mode == "L" else self.picture.convert("RGB")
        return plain.resize(size, Image.Resampling.BICUBIC, box=self.box((0, 0, *self.size)))

    def box(self, box: Box) -> Box:
        """A box of the whole picture in the px of this one."""
        (x, y), (left, top) = self.scale, self.start
        return box[0] * x + left, box[1] * y + top, box[2] * x + left, box[3] * y + top


def shown_coarsely(picture: Image.Image, image: bytes, least: tuple[float, float], showing: Showing) -> CoarsePicture:
    """An opened picture, which its bytes are of, as it is shown.

    Args:
        picture: not decoded yet.
        image: its bytes.
        least: width and height in px, of its file, below which its crops are enlarged.
        showing: how.
    """
    width, height = size = showing.size(picture)
    if showing.version <= FORMER_PIXELS:
        if least != picture.size:
            coarsen_as_before(picture, least)
        shown = showing.show(picture)
        return CoarsePicture(shown, size, (shown.width / width, shown.height / height), (0.0, 0.0), former=True)
    by, orientation = coarseness(picture, least), showing.orientation(picture)
    shown = showing.show(picture, functools.partial(decode, image=image, by=by))
    scale = 1.0 if shown.size == size else 1 / by
    left = shown.width - width * scale if orientation in FAR_LEFT else 0.0
    top = shown.height - height * scale if orientation in FAR_TOP else 0.0
    return CoarsePicture(shown, size, (scale, scale), (left, top), former=False)
