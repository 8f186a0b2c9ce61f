"""A box of a picture as a square of pixels: linear, and smoothed where it shrinks, as PIL's bilinear filter."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
from PIL import Image

try:
    import cykooz_resizer
    from cykooz_resizer.alpha import set_image_mode
except ImportError:  # there is no wheel for every machine; PIL's filter is the same, both within 1 of 255 of it, and slower
    cykooz_resizer = None

Box = tuple[float, float, float, float]


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.canvases: dict[tuple[str, int], tuple[Any, Image.Image]] = {}


_of_thread = _OfThread()


def resample(picture: Image.Image, box: Box, out: np.ndarray) -> None:
    """Write a box of a picture into a square.

    Args:
        picture: L, RGB or opaque RGBA, (W, H), which is called RGB from then on.
        box: left, top, right and bottom in px.
        out: uint8 (S, S, 3), or (S, S, 1) for a grey one; a grey one fills three channels alike.
    """
    if cykooz_resizer is None:
        resample_with_pil(picture, box, out)
        return
    left, top, right, low = box
    crop = cykooz_resizer.CropBox(left, top, min(right, picture.width) - left, min(low, picture.height) - top)
    if picture.mode == "RGBA":
        set_image_mode(picture, "RGB")  # PIL keeps four bytes for both; without alpha there is nothing to multiply by
    resizer, canvas = _canvas(picture.mode, len(out))
    resizer.resize_pil(picture, canvas, cykooz_resizer.ResizeOptions(_linear(), crop_box=crop))
    _copy(canvas, out)


def resample_with_pil(picture: Image.Image, box: Box, out: np.ndarray) -> None:
    """The same by PIL alone, as up to version 2 of a run's pixels."""
    plain = picture.convert("RGB") if picture.mode == "RGBA" else picture
    _copy(plain.resize(out.shape[:2], Image.Resampling.BILINEAR, box=box), out)


def _copy(square: Image.Image, out: np.ndarray) -> None:
    pixels = np.asarray(square)
    out[...] = pixels[..., None] if pixels.ndim == 2 else pixels


@functools.lru_cache
def _linear() -> Any:
    return cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.bilinear)


def _canvas(mode: str, size: int) -> tuple[Any, Image.Image]:
    """This thread's resizer and the picture that it writes to, whose memory is used again and again."""
    kept = _of_thread.canvases
    if (mode, size) not in kept:
        kept[mode, size] = cykooz_resizer.Resizer(), Image.new(mode, (size, size))
    return kept[mode, size]
