"""Which pixels of a picture are clear by its file, and which numbers white and black, where PIL takes others for it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile, __version__
from PIL.TiffImagePlugin import TiffImageFile

PILLOW = int(__version__.partition(".")[0])  # 12 names the compression to libtiff, which knows it
STRIP = 8 << 20  # px that are looked at or changed at once, of pictures that may be of any size
GREY_STEPS = {"L;2": 85, "L;4": 17}  # of the grey levels that PIL makes of PNGs of 2 and 4 bits
WIDTH, HEIGHT, BITS, PLANES = 256, 257, 258, 284  # tags of TIFF
APART = 2  # of planes: each band lies by itself
LAID_TOGETHER = ("RGB", "RGBA", "CMYK")  # modes of which libtiff's planes become pixels
SIZES = b"\xff\x4f\xff\x51"  # what a codestream of JPEG 2000 begins with; its depths follow
SIGN, DEPTH, TO_DEPTHS, A_BAND = 0x80, 0x7F, 38, 3  # of a band's depth less 1; bytes to the first one, and from one to the next
TGA_DESCRIPTOR, ALPHA_BITS = 17, 15  # a byte of its header, and those of its bits that say how many a pixel has for its alpha


def load_with_clear_pixels(picture: Image.Image) -> None:
    """Decode a PNG, GIF, TGA, BMP, TIFF or JPEG 2000 in place, as its file says; leave decoded ones and other formats.

    Raises:
        ValueError: for numbers below zero, and bands that no codec reads right.
    """
    if isinstance(picture, ImageFile.ImageFile) and picture.tile and picture.format in LOADERS:
        LOADERS[picture.format](picture)


def bytes_a_pixel(picture: Image.Image, by: int = 1) -> float:
    """What a pixel of an opened picture takes at most while it is decoded, and what its file calls clear is found.

    `by`: what its codec divides width and height by.
    """
    held = (1 if picture.mode in ("1", "L", "P") else 4) / by**2
    if not (isinstance(picture, ImageFile.ImageFile) and picture.tile):
        return held
    if "progressive" in picture.info:  # a JPEG, whose coefficients of 16 bits are all held
        return held + 2 * len(picture.getbands())
    if picture.format == "PNG" and picture.tile[0].args == "RGB;16B" and "transparency" in picture.info:
        return 6 * held  # a second picture, and what comes of comparing both
    is_part = picture.format == "GIF" and picture.tile[0].extents != (0, 0, *picture.size)
    return held + 5 if is_part or (picture.format == "TGA" and picture.mode == "P") else held


def _load_png(picture: ImageFile.ImageFile) -> None:
    """Give the clear value the scale that the pixels get, and compare all 16 bits of a clear colour."""
    bits, clear = picture.tile[0].args, picture.info.get("transparency")
    if bits in GREY_STEPS and isinstance(clear, int):
        step = GREY_STEPS[bits]
        picture.info["transparency"] = clear % (255 // step + 1) * step
    if bits == "RGB;16B" and clear is not None:
        del picture.info["transparency"]
        picture.putalpha(_unlike(picture, np.array(clear)))
    picture.load()


def _unlike(picture: ImageFile.ImageFile, clear: np.ndarray) -> Image.Image:
    """0 where a PNG of 16 bits a channel has one colour, elsewhere 255: it is decoded twice, for its upper and lower bytes."""
    assert picture.fp is not None
    picture.fp.seek(0)
    again = Image.open(io.BytesIO(picture.fp.read()), formats=("PNG",))
    again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
    is_clear = (np.asarray(picture) == clear >> 8) & (np.asarray(again) == clear & 255)
    return Image.fromarray(np.where(is_clear.all(axis=2), 0, 255).astype(np.uint8))


def _load_gif(picture: ImageFile.ImageFile) -> None:
    """What the first frame leaves uncovered has no colour, in whatever PIL fills it."""
    covered = picture.tile[0].extents
    picture.load()
    if covered != (0, 0, *picture.size) and "transparency" not in picture.info:
        alpha = Image.new("L", picture.size)
        alpha.paste(255, covered)
        picture.putalpha(alpha)


def _load_tga(picture: ImageFile.ImageFile) -> None:
    """Bits that are not said to be an alpha are none."""
    assert picture.fp is not None
    picture.fp.seek(TGA_DESCRIPTOR)
    has_alpha = picture.fp.read(1)[0] & ALPHA_BITS > 0
    _load_bmp(picture)
    if not has_alpha and picture.mode in ("LA", "RGBA"):
        picture.putalpha(255)


def _load_bmp(picture: ImageFile.ImageFile) -> None:
    """Alphas that are 0 everywhere are bytes that a program left unused: nobody stores what cannot be seen."""
    picture.load()
    if picture.has_transparency_data and _is_invisible(picture):
        picture.putalpha(255)


def _is_invisible(picture: Image.Image) -> bool:
    """Whether all of a picture is clear."""
    return all(strip.convert("RGBA").getchannel("A").getbbox() is None for strip in strips_of(picture))


def strips_of(picture: Image.Image) -> Iterator[Image.Image]:
    """A decoded picture in strips: a copy of the whole may not fit the memory."""
    rows = max(STRIP // max(picture.width, 1), 1)
    for top in range(0, picture.height, rows):
        yield picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _load_tiff(picture: ImageFile.ImageFile) -> None:
    """It turns itself as it is decoded, and has another size then."""
    assert isinstance(picture, TiffImageFile)
    if len(picture.getbands()) > 1 and picture.tag_v2.get(PLANES) == APART:
        _leave_to_libtiff(picture)
    picture.load()


def _leave_to_libtiff(picture: TiffImageFile) -> None:
    """Have planes read by libtiff, as PIL does where they are compressed: others of 16 bits it takes for such of 8."""
    if picture.mode not in LAID_TOGETHER:
        raise ValueError(f"its bands ({', '.join(picture.getbands())}) lie apart, which no codec here reads right (save it anew)")
    if picture.use_load_libtiff:
        return
    bands, tags = "".join(dict.fromkeys((tile.args or "")[0] for tile in picture.tile)), picture.tag_v2
    layout = f"{bands};16N" if tags[BITS][0] == 16 else bands
    whole = (0, 0, tags[WIDTH], tags[HEIGHT])
    compression = (picture._compression,) if PILLOW < 13 else ()
    picture.tile = [ImageFile._Tile("libtiff", whole, 0, (layout, *compression, False, tags.offset))]
    picture.use_load_libtiff = True


def _load_jpeg2000(picture: ImageFile.ImageFile) -> None:
    """Make the largest number white and 0 black, as PIL does but for less than 8 bits and for numbers with a sign."""
    assert picture.fp is not None
    picture.fp.seek(0)
    content = picture.fp.read()
    picture.load()
    first = content.index(SIZES) + len(SIZES) + TO_DEPTHS
    depths = content[first : first + A_BAND * len(picture.getbands()) : A_BAND]
    signed = depths[0] & SIGN > 0
    bits, half = [min((depth & DEPTH) + 1, 8) for depth in depths], 1 << 15 if picture.mode == "I;16" else 1 << 7
    if not signed and min(bits) == 8:
        return
    if picture.mode in ("P", "PA"):
        raise ValueError(f"its palette has numbers of {min(bits)} bits, which no codec here reads right (save it anew)")
    if signed and (least := np.min(picture.getextrema())) < half:
        raise ValueError(f"its values go from {least - half}, and none may be negative")
    if picture.mode == "I;16":
        picture.paste(picture.point(lambda value: value * 2 - (1 << 16)))
    else:
        picture.paste(picture.point([grey for each in bits for grey in _greys(each, signed=signed)]))


def _greys(bits: int, *, signed: bool) -> list[int]:
    """Grey levels of the 256 that PIL makes of numbers of so many bits: shifted to 8, from the least to the largest."""
    numbers = (np.arange(256) >> (8 - bits)) - (2 ** (bits - 1) if signed else 0)
    levels: list[int] = (numbers * (255 / max(2 ** (bits - signed) - 1, 1))).round().clip(0, 255).astype(int).tolist()
    return levels


LOADERS = {"JPEG2000": _load_jpeg2000, "PNG": _load_png, "GIF": _load_gif, "TGA": _load_tga, "BMP": _load_bmp, "TIFF": _load_tiff}
