"""In which form an image is stored: its own bytes, smaller, or decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simplejpeg

from pipelines.datasets.encoded_image import any_size, encode_pixels, identify
from pipelines.errors import UserError
from pipelines.ingest.giant_picture import needs_strips, one_at_a_time, shown_small
from pipelines.views.coarse_picture import shown_coarsely
from pipelines.views.shown_picture import Showing, has_upper_bytes, seems_of_12_bits
from pipelines.views.view_config import WHITE, check_background

MAX_PIXELS = 2 * 89_478_485  # that PIL opens
QUALITY = 90  # of JPEGs that are made smaller; docs/pixels.md has the bytes and the noise of others


@dataclass(frozen=True)
class StoredForm:
    """How images are stored.

    Attributes:
        pixels: decoded.
        short_side: px that the shorter side has at most; `None` for the size that they come in.
        quality: of the JPEG that a smaller one becomes, 1 to 100; `None` for `QUALITY`.
        showing: how those are shown that are not stored as they are.
        max_pixels: that an image may have; one with more is set aside. More than PIL allows by itself need `short_side`.

    Raises:
        UserError: for a size or a quality that there is not.
    """

    pixels: bool = False
    short_side: int | None = None
    quality: int | None = None
    showing: Showing = field(default_factory=Showing)
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_background(self.showing.background, "--background")
        if self.short_side is not None and self.short_side < 1:
            raise UserError(f"--short_side is {self.short_side}; give the px of the shorter side, for example 256")
        if self.max_pixels < 1:
            raise UserError(f"--max-pixels is {self.max_pixels}; it must be at least 1")
        if self.max_pixels > MAX_PIXELS and self.short_side is None:
            raise UserError(
                f"--max-pixels is {self.max_pixels:,}; images of more than {MAX_PIXELS:,} px are too large "
                "to be decoded in each epoch: give --short-side too, which stores them smaller"
            )
        if tuple(self.showing.background) != tuple(WHITE) and not self.footer:
            raise UserError(
                "--background is of images that are stored by --short-side or --pixels; give one of them, or leave it out: "
                "stream.background says it where images are stored as they come"
            )
        if self.quality is None:
            return
        if not 1 <= self.quality <= 100:
            raise UserError(f"--quality is {self.quality}; a JPEG's lies within 1 to 100")
        if self.short_side is None or self.pixels:
            raise UserError(
                "--quality is of the JPEGs that --short_side makes; give --short_side, without --pixels, or leave it out"
            )

    def of(self, image: bytes) -> tuple[bytes, bool]:
        """The bytes to store of an encoded image, and whether it is nearly black for it has 12 bits of 16.

        What is no larger than asked keeps its bytes: nothing is enlarged, and nothing encoded twice without need.

        Raises:
            Exception: what its codec raises for a damaged one.
        """
        with any_size():
            picture = identify(image)
        if picture.width * picture.height > self.max_pixels:
            size = f"{picture.width * picture.height / 1e6:.1f} Mpx"
            raise ValueError(f"{size}, more than --max-pixels allows ({self.max_pixels / 1e6:.1f} Mpx)")
        small = self.short_side is None or min(picture.size) <= self.short_side
        if small and picture.width * picture.height > MAX_PIXELS:
            raise ValueError(
                f"{picture.width} x {picture.height} px: too many to be decoded in each epoch, and its shorter side is short"
            )
        least = picture.size if small else self._scaled(picture.size)
        with one_at_a_time(picture, least):
            if not small and self.short_side is not None and needs_strips(picture):
                coarse, dark = shown_small(picture, self.short_side, self.showing)
            else:
                upper_bytes = has_upper_bytes(picture)
                coarse = shown_coarsely(picture, image, least, self.showing)
                coarse.picture.load()
                dark = seems_of_12_bits(picture, upper_bytes=upper_bytes)
        if small and not self.pixels:
            return image, dark
        pixels = np.asarray(coarse.resized(coarse.size if small else self._scaled(coarse.size)))
        return (encode_pixels(pixels) if self.pixels else self._jpeg(pixels)), dark

    @property
    def footer(self) -> dict[str, Any]:
        """What a shard's footer says of images that are not stored as they come; of the background, if it is not white."""
        said: dict[str, Any] = {"short_side": self.short_side, "quality": self.quality or QUALITY} if self.short_side else {}
        said |= {"pixels": 1} if self.pixels else {}
        ground = list(self.showing.background)
        return said | ({"background": ground} if said and ground != list(WHITE) else {})

    def stored_pixels(self, size: tuple[int, int]) -> int:
        """How many an image of that size has as it is stored."""
        width, height = size if self.short_side is None or min(size) <= self.short_side else self._scaled(size)
        return width * height

    def _scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        factor = (self.short_side or min(size)) / min(size)
        return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)

    def _jpeg(self, pixels: np.ndarray) -> bytes:
        grey = pixels.ndim == 2
        made: bytes = simplejpeg.encode_jpeg(
            np.ascontiguousarray(pixels[..., None] if grey else pixels), self.quality or QUALITY, "GRAY" if grey else "RGB",
            "Gray" if grey else "420",
        )  # fmt: skip
        return made
