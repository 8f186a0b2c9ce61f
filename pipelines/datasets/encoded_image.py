"""An encoded image: which files hold one, how its pixels are stored and opened."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

# What is read, whatever a file is called: formats of pixels, whose codecs start no other program and run no code.
FORMATS: tuple[str, ...] = (
    "AVIF", "BMP", "DDS", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
READ_BY_EXTRA: dict[str, str] = {}  # suffixes of pictures that a package reads which is not there, with what to do
try:
    import pillow_heif
except ImportError:
    READ_BY_EXTRA = dict.fromkeys((".heic", ".heif", ".hif"), "pip install 'quorum-kmeans[heif]' reads them")
else:
    pillow_heif.register_heif_opener()
    FORMATS = (*FORMATS, "HEIF")
warnings.filterwarnings("ignore", module=r"PIL\.")  # how large a picture may be, an ingest has decided; others name no file
OPENED = tuple(name for name in FORMATS if name != "MPO")  # which PIL opens as the JPEG that it begins with
IMAGE_SUFFIXES = frozenset(suffix for suffix, codec in Image.registered_extensions().items() if codec in FORMATS)
LONGEST_MAGIC, LONGEST_SUFFIX = 64, 8
KNOWN = (  # what is met under the names of images, by a part of its first bytes
    (b"version https://git-lfs", "a pointer of Git LFS: run git lfs pull"),
    (b"/annex/objects/", "a pointer of git-annex: run git annex get"),
    (b"ftypheic", "a HEIC picture: pip install 'quorum-kmeans[heif]' reads it"),
    (b"ftypheix", "a HEIC picture: pip install 'quorum-kmeans[heif]' reads it"),
    (b"ftypmif1", "a HEIF picture: pip install 'quorum-kmeans[heif]' reads it"),
    (b"<svg", "a drawing (SVG): save it as PNG"),
    (b"%PDF", "a PDF: save its pages as PNG"),
    (b"<!DOCTYPE html", "a web page: fetch the image again"),
    (b"<html", "a web page: fetch the image again"),
    (b"JXL \r\n\x87\n", "a JPEG XL picture: save it as PNG"),
)
BEGINNINGS = (  # and by what stands in one place
    (0, b"\xff\n", "a JPEG XL picture: save it as PNG"),
    (0, b"8BPS", "a Photoshop document: save it as PNG"),
    (128, b"DICM", "a DICOM file: save its picture as PNG"),
)
PIXELS = re.compile(rb"P([56])\n(\d+) (\d+)\n255\n")


def is_image(name: str) -> bool:
    """Whether a file's name ends as one of an image does."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES and not name.startswith(".", name.rfind("/") + 1)


def has_suffix(name: str) -> bool:
    """Whether a file's name has a suffix of letters and digits, not of digits alone: `a.jpg`, and not `2024.12` or `a`."""
    suffix = PurePosixPath(name).suffix[1:]
    return 0 < len(suffix) <= LONGEST_SUFFIX and suffix.isalnum() and not suffix.isdecimal()


def looks_like_image(start: bytes) -> bool:
    """Whether bytes begin as an image of one of `FORMATS` does."""
    Image.init()
    for name in OPENED:
        accept = Image.OPEN[name][1] if name in Image.OPEN else None
        is_text = name == "PPM" and not start[2:3].isspace()  # "Python ..." begins as one of its kinds does
        if accept is not None and accept(start) is True and not is_text:
            return True
    return False


def why_no_image(image: bytes) -> str:
    """What bytes are that are no image, in words."""
    if not image.strip(b"\0"):
        return "nothing but zeros: fetch it again" if image else "empty file"
    known = [words for place, part, words in BEGINNINGS if image.startswith(part, place)]
    known += [words for part, words in KNOWN if part.lower() in image[:LONGEST_MAGIC].lower()]
    if known:
        return known[0]
    if looks_like_image(image[:LONGEST_MAGIC]):
        return "damaged or of a rare kind: it begins as an image, and cannot be opened (save it anew)"
    text = image[:24].split(b"\n")[0]
    is_text = bool(text) and all(32 <= byte < 127 for byte in text)
    shown = text.decode() if is_text else image[:8].hex(" ")
    return f"no image: starts with {shown}"


def encode_pixels(pixels: np.ndarray) -> bytes:
    """A portable pixmap of uint8 pixels, (H, W) or (H, W, 3): an image format without compression, so reading it is a copy."""
    height, width = pixels.shape[:2]
    return b"%s\n%d %d\n255\n" % (b"P5" if pixels.ndim == 2 else b"P6", width, height) + pixels.tobytes()


def identify(image: bytes) -> Image.Image:
    """The picture of encoded bytes, by what they are and not by what their file is called; its pixels are not decoded yet.

    Raises:
        UnidentifiedImageError: for bytes that are in none of `FORMATS`.
    """
    try:
        return Image.open(io.BytesIO(image), formats=OPENED)
    except UnidentifiedImageError:
        raise UnidentifiedImageError(why_no_image(image)) from None


@contextmanager
def any_size() -> Iterator[None]:
    """Let this process open pictures of any size; the caller looks at their size before it decodes them."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def open_image(image: bytes) -> Image.Image:
    """The picture of an encoded image; those of `encode_pixels` in a fifth of the time that PIL takes to find their codec."""
    match = PIXELS.match(image)
    if match is None:
        return identify(image)
    mode, size = "L" if match[1] == b"5" else "RGB", (int(match[2]), int(match[3]))
    return Image.frombuffer(mode, size, image[match.end() :], "raw", mode, 0, 1)
