"""Pictures of hundreds of megapixels, made smaller in strips: one at a time on a node, in little more than their own bytes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock
from PIL import Image

from pipelines.free_memory import free_bytes
from pipelines.views.clear_pixels import bytes_a_pixel, load_with_clear_pixels
from pipelines.views.coarse_picture import CoarsePicture
from pipelines.views.decode import SPARE
from pipelines.views.shown_picture import FAR_LEFT, FAR_TOP, TURNS, Levels, Showing, seems_of_12_bits

GIANT = 64 << 20  # px from which a picture that is no JPEG is taken in strips
STRIP = 8 << 20  # px that are laid on the background at once
SPARE_MEMORY = 1.2  # of a picture's own bytes, as it is decoded


def is_giant(picture: Image.Image) -> bool:
    """Whether a picture is one that is made smaller in strips; a JPEG's codec does that better."""
    return picture.format != "JPEG" and picture.width * picture.height > GIANT


def shown_small(picture: Image.Image, short_side: int, showing: Showing) -> tuple[CoarsePicture, bool]:
    """A picture as it is shown, its shorter side some times as long as asked; and whether it has 12 bits of 16, nearly black.

    Args:
        picture: opened, not decoded yet.
        short_side: px that it will have in the end.
        showing: how it is shown.

    Raises:
        ValueError: where the memory that is free here does not hold it, or its numbers are no brightness.
    """
    by = max(min(picture.size) // (SPARE * short_side), 1)
    with FileLock(Path(tempfile.gettempdir()) / f"quorum-giant-{os.getuid()}.lock"):
        _check_memory(picture)
        orientation, (width, height) = showing.orientation(picture), showing.size(picture)  # for which a PNG is decoded
        load_with_clear_pixels(picture)
        picture.load()
        small, dark = _in_strips(picture, by, showing), seems_of_12_bits(picture)
        picture.close()
    turn = TURNS.get(orientation)
    shown = small if turn is None else small.transpose(turn)
    left = shown.width - width / by if orientation in FAR_LEFT else 0.0
    top = shown.height - height / by if orientation in FAR_TOP else 0.0
    return CoarsePicture(shown, (width, height), (1 / by, 1 / by), (left, top), former=False), dark


def _in_strips(picture: Image.Image, by: int, showing: Showing) -> Image.Image:
    levels = Levels.of(picture)
    small = Image.new("RGB", (-(-picture.width // by), -(-picture.height // by)))
    rows = max(STRIP // (picture.width * by), 1)
    for row in range(0, small.height, rows):
        strip = picture.crop((0, row * by, picture.width, min((row + rows) * by, picture.height)))
        small.paste(showing.on_background(strip, levels).reduce(by), (0, row))
    return small


def _check_memory(picture: Image.Image) -> None:
    needed, free = SPARE_MEMORY * bytes_a_pixel(picture) * picture.width * picture.height, free_bytes()
    if free is not None and needed > free:
        raise ValueError(f"it takes {needed / 1e9:.1f} GB to decode, and {free / 1e9:.1f} GB are free here")
