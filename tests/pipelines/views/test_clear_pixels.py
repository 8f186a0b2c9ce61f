"""What is clear by a picture's file lies on the background, and nothing else does."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from pipelines.datasets.encoded_image import identify
from pipelines.views.shown_picture import Showing

GREY, RGB = 0, 2  # PNG's kinds of pixels
RED, BLUE, CLEAR = [200, 0, 0], [0, 0, 100], [255, 255, 255]


def shown(image: bytes) -> list:
    return np.asarray(Showing().show(identify(image))).tolist()


def png(row: bytes, width: int, *, bits: int, kind: int, clear: tuple[int, ...] = (), rows: int = 1) -> bytes:
    """A PNG of a row, or of several alike, of which one value, or colour, may be clear."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, rows, bits, kind, 0, 0, 0)}
    chunks |= {b"tRNS": struct.pack(f">{len(clear)}H", *clear)} if clear else {}
    chunks |= {b"IDAT": zlib.compress((b"\0" + row) * rows), b"IEND": b""}
    written = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def tga(pixels: bytes, width: int, *, bits: int, alpha_bits: int) -> bytes:
    """A TGA of one row of colours."""
    return struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, width, 1, bits, alpha_bits) + pixels


def bmp(pixels: bytes, width: int, height: int = 1) -> bytes:
    """A BMP, from its last row on, of blue, green, red and alpha, as the masks of its header say."""
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII4I", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0, *masks).ljust(108, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + 108 + len(pixels), 0, 0, 14 + 108) + header + pixels


@pytest.mark.parametrize(
    ("bits", "row", "clear", "pixels"),
    [
        (1, b"\x40", 1, [0, 255, 0]),  # bits 0 1 0: the clear 1 is white anyway
        (1, b"\x40", 0, [255, 255, 255]),
        (2, b"\x1b", 2, [0, 85, 255, 255]),  # 0 1 2 3
        (4, b"\x09\xf0", 9, [0, 255, 255, 0]),  # 0 9 15 0
        (8, b"\x00\x09\xf0", 9, [0, 255, 240]),
    ],
)
def test_the_clear_grey_of_few_bits_is_one_of_these_bits(bits, row, clear, pixels):
    assert shown(png(row, len(pixels), bits=bits, kind=GREY, clear=(clear,))) == [pixels]


def test_the_clear_colour_of_16_bits_is_compared_in_all_of_them():
    row = struct.pack(">9H", 0x0102, 0x0304, 0x0506, 0x0103, 0x0304, 0x0506, 0x0202, 0x0404, 0x0606)
    image = png(row, 3, bits=16, kind=RGB, clear=(0x0102, 0x0304, 0x0506))
    assert shown(image) == [[CLEAR, [1, 3, 5], [2, 4, 6]]]


@pytest.mark.parametrize("alphas", [(0, 0), (7, 255)])
def test_a_tga_that_says_it_has_no_alpha_is_seen_whole(alphas):
    pixels = bytes([0, 0, 200, alphas[0], 100, 0, 0, alphas[1]])
    assert shown(tga(pixels, 2, bits=32, alpha_bits=0)) == [[RED, BLUE]]
    assert shown(tga(struct.pack("<2H", 0x8000 | 31 << 10, 31), 2, bits=16, alpha_bits=0)) == [[[255, 0, 0], [0, 0, 255]]]


def test_alphas_that_are_all_0_are_none_in_tga_and_bmp():
    pixels = bytes([0, 0, 200, 0, 100, 0, 0, 0])
    assert shown(tga(pixels, 2, bits=32, alpha_bits=8)) == [[RED, BLUE]]
    assert shown(bmp(pixels, 2)) == [[RED, BLUE]]


def test_other_alphas_of_tga_and_bmp_count():
    pixels = bytes([0, 0, 200, 255, 100, 0, 0, 0])
    assert shown(tga(pixels, 2, bits=32, alpha_bits=8)) == [[RED, CLEAR]]
    assert shown(bmp(pixels, 2)) == [[RED, CLEAR]]


def gif(palette: bytes) -> bytes:
    """A GIF of 2 x 1 px, whose one frame covers the right one by the second colour of two."""
    screen = struct.pack("<HHBBB", 2, 1, 0x80, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 1, 0, 1, 1, 0)
    return b"GIF89a" + screen + palette + frame + bytes([2, 2, 0x4C, 0x01, 0]) + b";"  # codes of 3 bits: clear, 1, end


def test_what_a_gif_leaves_uncovered_is_the_background():
    assert shown(gif(bytes([*BLUE, *RED]))) == [[CLEAR, RED]]
