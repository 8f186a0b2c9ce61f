"""What a picture shows, in 8 bits: upright, in grey or RGB, on a background where it is transparent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from pipelines.views.clear_pixels import BITS, load_with_clear_pixels, strips_of
from pipelines.views.view_config import WHITE

ORIENTATION = 274  # EXIF's tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
SIDEWAYS = (5, 6, 7, 8)  # orientations whose width is shown as height
FAR_LEFT, FAR_TOP = (2, 3, 6, 7), (3, 4, 7, 8)  # those that show the file's right or lower edge on the left, or at the top
PLAIN = ("L", "RGB")
TWELVE_BITS = 4095
SIXTEEN_BITS = 65_535
INTERPRETATION, KIND, SIGNED = 262, 339, 2  # TIFF's tags of its colours and numbers, and the kind of those with a sign
PLAUSIBLE = 16  # a picture whose brightest number is less than white by more than this says nothing of white


@dataclass(frozen=True)
class Showing:
    """How pictures are shown.

    Attributes:
        background: RGB, 0 to 255, that transparent pictures lie on.
        version: 1 as quorum 0.1 did: as the file has its rows, without transparency; later ones differ in how it is decoded.
    """

    background: Sequence[int] = WHITE
    version: int = 3

    def orientation(self, picture: Image.Image) -> int:
        """How the picture is turned, 1 to 8 as EXIF numbers it; 1 is upright. Does not decode it."""
        return 1 if self.version == 1 else _orientation(picture)

    def size(self, picture: Image.Image) -> tuple[int, int]:
        """Width and height in px as it is shown."""
        width, height = picture.size
        is_turned = self.orientation(picture) in SIDEWAYS or _turns_itself(picture)
        return (height, width) if is_turned else (width, height)

    def show(self, picture: Image.Image, decode: Callable[[Image.Image], Image.Image] = lambda picture: picture) -> Image.Image:
        """The picture in mode L or RGB, or as `decode` gives it.

        Grey stays grey until its pixels are used: a third of the work.

        Args:
            picture: opened.
            decode: what decodes it if its mode is L or RGB; otherwise PIL does.

        Raises:
            ValueError: for numbers that are no brightness.
        """
        if self.version == 1:
            return _in_grey_or_rgb(picture)
        turn = TURNS.get(_orientation(picture))  # before it is decoded: TIFF turns itself, and forgets it
        load_with_clear_pixels(picture)
        as_it_is = picture.mode in PLAIN and "transparency" not in picture.info and not has_signed_bytes(picture)
        plain = decode(picture) if as_it_is else self.on_background(picture)
        return plain if turn is None else plain.transpose(turn)

    def on_background(self, picture: Image.Image, levels: Levels | None = None) -> Image.Image:
        """The picture as it lies in its file, in mode L or RGB.

        Args:
            picture: decoded, or a part of one.
            levels: of the whole, where it is a part.

        Raises:
            ValueError: for numbers that are no brightness.
        """
        levels = levels or Levels.of(picture)
        picture = picture if levels is None else levels.in_eight_bits(picture)
        if not picture.has_transparency_data:
            return picture if picture.mode in PLAIN else picture.convert("L" if picture.mode == "1" else "RGB")
        ground = Image.new("RGBA", picture.size, (*self.background, 255))
        ground.alpha_composite((picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA"))
        red, green, blue = self.background
        grey = picture.mode in ("1", "L", "LA", "La") and red == green == blue
        return ground.convert("RGB").getchannel(0) if grey else ground.convert("RGB")


@dataclass(frozen=True)
class Levels:
    """How the numbers of a picture of 16 or 32 bits a pixel, or of 8 with a sign, become grey levels.

    Attributes:
        white: the number that is white.
        signed: whether they are of 8 bits with a sign.
        inverted: whether that number is black, and 0 white.
    """

    white: int
    signed: bool
    inverted: bool

    @classmethod
    def of(cls, picture: Image.Image) -> Levels | None:
        """Those of a decoded picture; `None` where its numbers are grey levels or colours.

        Raises:
            ValueError: where the numbers do not say what is white.
        """
        signed = has_signed_bytes(picture)
        if not (signed or picture.mode.startswith(("I", "F"))):
            return None
        least, most = _range(picture, signed=signed)
        if not (least >= 0 and np.isfinite(most)):
            raise ValueError(f"its values go from {least:g} to {most:g}, and none may be negative, infinite or NaN")
        return cls(_said_white(picture) or _likely_white(picture.mode, most), signed, _has_white_zeros(picture))

    def in_eight_bits(self, picture: Image.Image) -> Image.Image:
        """Grey levels 0 to 255 of the picture or a part, transparent where it has the one value that its file calls clear."""
        values = _values(picture, signed=self.signed)
        grey = _upper_byte(values) if self.white == SIXTEEN_BITS else _scaled(values, self.white)
        levels, clear = Image.fromarray(255 - grey if self.inverted else grey), picture.info.get("transparency")
        if not isinstance(clear, int):
            return levels
        return Image.merge("LA", (levels, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))))


def _values(picture: Image.Image, *, signed: bool) -> np.ndarray:
    values = np.asarray(picture)
    return values.view(np.int8) if signed else values


def _range(picture: Image.Image, *, signed: bool) -> tuple[float, float]:
    """The least and the largest number, NaN where one is; 0 and 0 without pixels."""
    ranges = np.array([(part.min(), part.max()) for strip in strips_of(picture) if (part := _values(strip, signed=signed)).size])
    return (float(ranges[:, 0].min()), float(ranges[:, 1].max())) if len(ranges) else (0.0, 0.0)


def has_signed_bytes(picture: Image.Image) -> bool:
    """Whether a TIFF's numbers are of 8 bits with a sign, which PIL takes for such without."""
    return isinstance(picture, TiffImageFile) and picture.mode == "L" and _has_sign(picture)


def _has_sign(picture: TiffImageFile) -> bool:
    return bool(picture.tag_v2.get(KIND, (1,))[0] == SIGNED)


def _turns_itself(picture: Image.Image) -> bool:
    """Whether a TIFF will be sideways by its XMP when it is decoded; what its own tag says, its size knows already."""
    return isinstance(picture, TiffImageFile) and ORIENTATION not in picture.tag_v2 and _noted(picture) in SIDEWAYS


def _orientation(picture: Image.Image) -> int:
    if picture.format == "TIFF" or (picture.format in ("JPEG", "WEBP") and not picture.info.keys() & {"exif", "xmp"}):
        return 1
    if picture.format == "PNG":  # whose EXIF may come last: asking for it decodes, and what is cut short must be noticed
        load_with_clear_pixels(picture)
    return _noted(picture)


def _noted(picture: Image.Image) -> int:
    """The orientation by EXIF, or where that has none by XMP."""
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block says nothing, and the picture may be whole
        return 1
    return found if found in TURNS else 1


def _has_white_zeros(picture: Image.Image) -> bool:
    return isinstance(picture, TiffImageFile) and picture.tag_v2.get(INTERPRETATION) == 0


def _said_white(picture: Image.Image) -> int | None:
    """The number that is white by the picture's file, however dark it is; `None` where that does not say."""
    if isinstance(picture, TiffImageFile) and picture.mode != "F":
        bits = picture.tag_v2[BITS][0]
        return 2 ** (bits - _has_sign(picture)) - 1 if bits <= 16 else None
    has_16_bits = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PPM", "PNG"))
    return SIXTEEN_BITS if has_16_bits else None


def _likely_white(mode: str, most: float) -> int:
    """The number that is white where the largest is `most`: 1 of floats a little above it too, else that of 8 or of 16 bits.

    Raises:
        ValueError: where it would be so dark that this can hardly be meant.
    """
    if most == 0 or (mode == "F" and most < PLAUSIBLE):
        return 1
    for white in (255, SIXTEEN_BITS):
        if white / PLAUSIBLE <= most <= white:
            return white
    raise ValueError(f"its values go up to {most:g}, which is neither a share of 1 nor 8 nor 16 bits")


def _scaled(values: np.ndarray, white: int) -> np.ndarray:
    return (values.astype(np.float64).clip(max=white) * (255 / white)).round().astype(np.uint8)


def _upper_byte(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)


def has_upper_bytes(picture: Image.Image) -> bool:
    """Whether decoding an opened picture keeps the upper 8 of 16 bits: so PIL does with colours, and greys with alpha."""
    deep = isinstance(picture, ImageFile) and any(";16" in str(tile.args) for tile in picture.tile)
    deep = deep or (isinstance(picture, TiffImageFile) and picture.tag_v2.get(BITS, (8,))[0] == 16)  # its bands may lie apart
    return deep and picture.mode in ("LA", "La", "RGB", "RGBA", "RGBa")


def seems_of_12_bits(picture: Image.Image, *, upper_bytes: bool = False) -> bool:
    """Whether a picture that is shown as one of 16 bits holds what a camera of 12 bits writes, and is nearly black therefore.

    Args:
        picture: decoded.
        upper_bytes: what `has_upper_bytes` said of it before.
    """
    if upper_bytes:
        most = np.array(picture.getextrema())[: 1 if picture.mode.startswith("L") else 3, 1].max()
        return bool(0 < most <= TWELVE_BITS >> 8)
    if not picture.mode.startswith(("I", "F")) or _said_white(picture) == TWELVE_BITS:
        return False
    return 255 < _range(picture, signed=False)[1] <= TWELVE_BITS


def _in_grey_or_rgb(picture: Image.Image) -> Image.Image:
    """As quorum 0.1 showed it, whose runs go on with the same pixels."""
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return picture if picture.mode in PLAIN else picture.convert("RGB")
