"""Decode no more of a picture than its crops can show, by the quickest codec that gives the pixels of PIL's."""

from __future__ import annotations

import threading

import numpy as np
import simplejpeg
from PIL import Image

SPARE = 3  # source px for an output px that are kept: from there on a coarser decode shows in text and noise
COARSER = (8, 4, 2)  # what a JPEG's codec can divide width and height by, at a fraction of the cost
MOST_KEPT = 64 << 20  # bytes of memory that a thread keeps for its next image
LAYOUTS = {"RGB": "RGBA", "L": "GRAY"}  # simplejpeg's for PIL's modes; PIL keeps a byte beside each three
FORMER_PIXELS = 2  # up to this version of a run's pixels PIL decodes, and keeps as many source px as output px


_kept = threading.local()


def decode(picture: Image.Image, image: bytes, by: int = 1) -> Image.Image:
    """The picture as it lies in its file: L, RGB, or RGBA without any transparency.

    It is good until this thread decodes the next one. Coarser by 2, 4 or 8 it covers exactly `1 / by` of the file's width and
    height, from the file's upper left on: where these are no multiple, its last column or row is partly beyond the picture.

    Both codecs are libjpeg-turbo, but PIL hands over its output a few rows at a time. What simplejpeg finds fault with, PIL
    decides about.

    Args:
        picture: opened, of mode L or RGB, not decoded yet.
        image: its bytes.
        by: what a JPEG's width and height are divided by: 1, 2, 4 or 8.

    Raises:
        OSError: for what is cut short or damaged.
    """
    if picture.format != "JPEG":
        return picture
    size = -(-picture.width // by), -(-picture.height // by)
    try:
        layout = LAYOUTS[picture.mode]
        room = _room(size[0] * size[1] * (1 if layout == "GRAY" else 4))
        pixels = simplejpeg.decode_jpeg(image, layout, min_width=size[0], min_height=size[1], buffer=room)
    except ValueError:
        picture.load()
        return picture
    if layout == "GRAY":
        return Image.frombuffer("L", size, pixels, "raw", "L", 0, 1)
    return Image.frombuffer("RGBA", size, pixels, "raw", "RGBA", 0, 1)


def _room(count: int) -> np.ndarray:
    """So many bytes that this thread uses again and again: fresh pages for each image cost a third of its decoding."""
    kept: np.ndarray = getattr(_kept, "room", np.empty(0, np.uint8))
    if len(kept) >= count:
        return kept[:count]
    room = np.empty(count, np.uint8)
    if count <= MOST_KEPT:
        _kept.room = room
    return room


def coarsen_as_before(picture: Image.Image, least: tuple[float, float]) -> None:
    """Let PIL decode a JPEG as coarsely as up to version 2 of a run's pixels."""
    if picture.format == "JPEG":
        picture.draft("RGB", (int(least[0]), int(least[1])))


def coarseness(picture: Image.Image, least: tuple[float, float]) -> int:
    """By what a JPEG's width and height may be divided: 1, 2, 4 or 8.

    `least` are width and height in px below which its crops are enlarged; `SPARE` times as many are left.
    """
    ratio = min(picture.width / least[0], picture.height / least[1]) / SPARE
    return next((by for by in COARSER if by <= ratio), 1)
