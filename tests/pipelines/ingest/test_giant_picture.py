"""Pictures of hundreds of megapixels are made smaller in strips, as whole ones are."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image, ImageFile

from pipelines.errors import UserError
from pipelines.ingest import giant_picture, stored_form
from pipelines.ingest.stored_form import MAX_PIXELS, StoredForm
from pipelines.views import clear_pixels
from tests.helpers.inputs.layouts import pixels
from tests.pipelines.views.test_clear_pixels import bmp


def drawing(mode: str, size: tuple[int, int] = (900, 700), orientation: int = 1) -> bytes:
    """A coloured slope on a ground that is clear on the left."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    planes = np.stack([x, y, 255 - x, np.where(x > 100, 255, 0)], axis=-1).astype(np.uint8)
    picture = Image.fromarray(planes, "RGBA")
    if mode == "P":
        picture = picture.convert("RGB").quantize(64)
        picture.info["transparency"] = 0
    elif mode != "RGBA":
        picture = picture.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", exif=exif, **({"transparency": 0} if mode == "P" else {}))
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "P", "LA", "L"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("size", [(900, 700), (701, 997)])
def test_strips_give_what_the_whole_picture_gives(monkeypatch, mode, orientation, size):
    image = drawing(mode, size, orientation)
    whole, _ = StoredForm(short_side=40, quality=100).of(image)
    monkeypatch.setattr(giant_picture, "GIANT", 1000)
    monkeypatch.setattr(giant_picture, "STRIP", 20_000)
    strips, _ = StoredForm(short_side=40, quality=100).of(image)
    one, other = (pixels(found).reshape(*pixels(found).shape[:2], -1) for found in (whole, strips))
    difference = np.abs(one.astype(int) - other.astype(int))
    assert one.shape[:2] == other.shape[:2]
    assert difference.mean() < 2
    assert np.percentile(difference, 99) <= 12  # at the edge of what is clear, by the smaller picture's px


def odd_alpha(kind: str) -> bytes:
    """A picture of 900 x 700 px whose alpha PIL takes for another than it is."""
    x, y = np.meshgrid(np.linspace(0, 255, 900), np.linspace(0, 255, 700))
    planes = np.stack([x, y, 255 - x, np.zeros_like(x)], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    if kind == "GIF whose frame is a part":
        Image.fromarray(planes, "RGBA").convert("RGB").crop((0, 0, 600, 500)).quantize(64).save(buffer, "GIF")
        content = bytearray(buffer.getvalue())
        content[6:10] = struct.pack("<HH", 900, 700)
        return bytes(content)
    if kind == "TGA with other bits":
        planes[..., 3] = 7 + x / 2
    picture = Image.fromarray(planes, "RGBA")
    if kind == "BMP of zeros":
        return bmp(np.ascontiguousarray(planes[::-1, :, [2, 1, 0, 3]]).tobytes(), 900, 700)
    picture.save(buffer, "TGA")
    content = bytearray(buffer.getvalue())
    content[17] &= 0xF0 if kind == "TGA with other bits" else 0xFF
    return bytes(content)


@pytest.mark.parametrize("kind", ["GIF whose frame is a part", "TGA of zeros", "TGA with other bits", "BMP of zeros"])
def test_what_is_clear_in_strips_is_what_is_clear_in_the_whole(monkeypatch, kind):
    image = odd_alpha(kind)
    whole, _ = StoredForm(short_side=40, quality=100).of(image)
    monkeypatch.setattr(giant_picture, "GIANT", 1000)
    monkeypatch.setattr(giant_picture, "STRIP", 20_000)
    monkeypatch.setattr(clear_pixels, "STRIP", 20_000)
    strips, _ = StoredForm(short_side=40, quality=100).of(image)
    difference = np.abs(pixels(whole).astype(int) - pixels(strips).astype(int))
    assert difference.mean() < 2
    shown = pixels(strips).astype(int)
    assert np.abs(shown[2, 2] - [10, 10, 245]).max() < 20
    corner = [255, 255, 255] if kind.startswith("GIF") else [245, 245, 10]
    assert np.abs(shown[-3, -3] - corner).max() < 20


def of_numbers(kind: type, most: float, form: str = "TIFF", orientation: int = 1) -> bytes:
    """A slope of numbers, whose largest lies on the right."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.linspace(0, most, 900), (700, 1)).astype(kind)).save(buffer, form, exif=exif)
    return buffer.getvalue()


NUMBERS = {
    "16 bits": of_numbers(np.uint16, 65_535, "PNG", orientation=6),
    "12 bits of 16": of_numbers(np.uint16, 4095),
    "32 bits": of_numbers(np.int32, 255, orientation=8),
    "floats": of_numbers(np.float32, 1),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_as_bright_in_strips_as_in_the_whole(monkeypatch, kind):
    form = StoredForm(short_side=40, quality=100)
    whole, dark = form.of(NUMBERS[kind])
    assert dark == (kind == "12 bits of 16")
    monkeypatch.setattr(giant_picture, "GIANT", 1000)
    monkeypatch.setattr(giant_picture, "STRIP", 20_000)
    monkeypatch.setattr(clear_pixels, "STRIP", 20_000)
    strips, dark_too = form.of(NUMBERS[kind])
    one, other = pixels(whole).astype(int), pixels(strips)[..., 0].astype(int)
    assert (dark_too, other.shape) == (dark, one.shape)
    assert np.abs(one - other).max() <= 3
    monkeypatch.setattr(giant_picture, "free_bytes", lambda: 2_000_000)
    with pytest.raises(ValueError, match="are free here"):
        form.of(NUMBERS[kind])


def a_jpeg(mode: str, **options: object) -> bytes:
    """The slope, whose codec decodes all of it where it has four colours or comes in passes."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(drawing("RGB"))).convert(mode).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def test_a_jpeg_of_four_colours_is_in_strips_what_it_is_as_a_whole(monkeypatch):
    image = a_jpeg("CMYK")
    whole, _ = StoredForm(short_side=40, quality=100).of(image)
    monkeypatch.setattr(giant_picture, "GIANT", 1000)
    monkeypatch.setattr(giant_picture, "STRIP", 20_000)
    monkeypatch.setattr(stored_form, "shown_coarsely", None)
    strips, _ = StoredForm(short_side=40, quality=100).of(image)
    assert np.abs(pixels(whole).astype(int) - pixels(strips).astype(int)).mean() < 2


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_decoded_alone_and_takes_no_more_memory_than_its_codec(monkeypatch, mode):
    monkeypatch.setattr(giant_picture, "GIANT", 1000)
    held = []
    monkeypatch.setattr(FileLock, "acquire", lambda self, *_, **__: held.append(self.lock_file))
    monkeypatch.setattr(giant_picture, "free_bytes", lambda: 600_000)
    assert min(pixels(StoredForm(short_side=40).of(a_jpeg(mode))[0]).shape[:2]) == 40
    assert len(held) == 1
    with pytest.raises(ValueError, match="are free here"):  # which has all coefficients in memory
        StoredForm(short_side=40).of(a_jpeg(mode, progressive=True))
    with pytest.raises(ValueError, match="are free here"):
        StoredForm().of(a_jpeg(mode))


def test_one_at_a_time_is_decoded_and_none_that_does_not_fit(monkeypatch):
    decoded = []
    monkeypatch.setattr(giant_picture, "GIANT", 1000)
    monkeypatch.setattr(giant_picture, "free_bytes", lambda: 2_000_000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded.append)
    with pytest.raises(ValueError, match="are free here"):
        StoredForm(short_side=40).of(drawing("RGBA", orientation=6))
    assert decoded == []


def test_what_does_not_fit_the_memory_is_set_aside_with_both_numbers(monkeypatch):
    monkeypatch.setattr(giant_picture, "GIANT", 1000)
    monkeypatch.setattr(giant_picture, "free_bytes", lambda: 2_000_000)
    with pytest.raises(ValueError, match=r"it takes 0.0 GB to decode, and 0.0 GB are free here"):
        StoredForm(short_side=40).of(drawing("RGBA"))


def test_how_large_an_image_may_be_is_for_the_user_to_say():
    image = drawing("RGB")
    with pytest.raises(ValueError, match=r"0.6 Mpx, more than --max-pixels allows \(0.5 Mpx\)"):
        StoredForm(max_pixels=500_000).of(image)
    assert StoredForm(max_pixels=630_000).of(image)[0] == image
    with pytest.raises(UserError, match="give --short-side too, which stores them smaller"):
        StoredForm(max_pixels=MAX_PIXELS + 1)
    with pytest.raises(UserError, match="--max-pixels is 0"):
        StoredForm(max_pixels=0)


def test_pictures_that_pil_refuses_by_itself_are_taken_when_they_may_be(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    image = drawing("RGB")
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(image))
    assert min(pixels(StoredForm(short_side=40, max_pixels=MAX_PIXELS + 1).of(image)[0]).shape[:2]) == 40
    assert Image.MAX_IMAGE_PIXELS == 10_000
