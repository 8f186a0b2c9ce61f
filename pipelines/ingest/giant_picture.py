"""Pictures of hundreds of megapixels, decoded one at a time on a node, and made smaller in little more than their own bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from PIL import Image

from pipelines.free_memory import free_bytes
from pipelines.views.clear_pixels import bytes_a_pixel, load_with_clear_pixels
from pipelines.views.coarse_picture import CoarsePicture
from pipelines.views.decode import LAYOUTS, SPARE, coarseness
from pipelines.views.shown_picture import FAR_LEFT, FAR_TOP, TURNS, Levels, Showing, has_upper_bytes, seems_of_12_bits

GIANT = 64 << 20  # px from which a picture is decoded while no other is
STRIP = 8 << 20  # px that are laid on the background at once
SPARE_MEMORY = 1.2  # of a picture's own bytes, as it is decoded


@contextmanager
def one_at_a_time(picture: Image.Image, least: tuple[float, float]) -> Iterator[None]:
    """Within the block no other giant picture is decoded on this node; others need not wait.

    Args:
        picture: opened, not decoded yet.
        least: width and height in px, of its file, that it is to have at least.

    Raises:
        ValueError: where the memory that is free here does not hold it.
    """
    if picture.width * picture.height <= GIANT:
        yield
        return
    with FileLock(Path(tempfile.gettempdir()) / f"quorum-giant-{os.getuid()}.lock"):
        _check_memory(picture, coarseness(picture, least) if _is_coarsened(picture) else 1)
        yield


def needs_strips(picture: Image.Image) -> bool:
    """Whether a picture is made smaller in strips, for it is giant and its codec decodes all of it."""
    return picture.width * picture.height > GIANT and not _is_coarsened(picture)


def _is_coarsened(picture: Image.Image) -> bool:
    """Whether a codec decodes no more of a picture than is asked for."""
    return picture.format == "JPEG" and picture.mode in LAYOUTS


def shown_small(picture: Image.Image, short_side: int, showing: Showing) -> tuple[CoarsePicture, bool]:
    """A picture as it is shown, its shorter side some times as long as asked; and whether it has 12 bits of 16, nearly black.

    Args:
        picture: opened, not decoded yet.
        short_side: px that it will have in the end.
        showing: how it is shown.

    Raises:
        ValueError: where its numbers are no brightness.
    """
    by, upper_bytes = max(min(picture.size) // (SPARE * short_side), 1), has_upper_bytes(picture)
    orientation, (width, height) = showing.orientation(picture), showing.size(picture)  # for which a PNG is decoded
    load_with_clear_pixels(picture)
    picture.load()
    small, dark = _in_strips(picture, by, showing), seems_of_12_bits(picture, upper_bytes=upper_bytes)
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


def _check_memory(picture: Image.Image, by: int) -> None:
    needed, free = SPARE_MEMORY * bytes_a_pixel(picture, by) * picture.width * picture.height, free_bytes()
    if free is not None and needed > free:
        raise ValueError(f"it takes {needed / 1e9:.1f} GB to decode, and {free / 1e9:.1f} GB are free here")
