"""Stored smaller: never enlarged, never encoded twice without need, upright and on the background."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from pipelines.datasets.encoded_image import PIXELS, open_image
from pipelines.errors import UserError
from pipelines.ingest import giant_picture
from pipelines.ingest.stored_form import StoredForm
from pipelines.views.shown_picture import ORIENTATION, Showing
from tests.pipelines.views.test_clear_pixels import png

PNG_KINDS = {"RGB": 2, "LA": 4, "RGBA": 6}
CHINA = Image.fromarray(load_sample_images().images[0])  # 640 x 427 px


def encoded(picture: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def stored(image: bytes, **options: object) -> Image.Image:
    return open_image(StoredForm(**options).of(image)[0])


def psnr(picture: Image.Image, expected: Image.Image) -> float:
    error = np.square(np.asarray(picture, np.float64) - np.asarray(expected, np.float64)).mean()
    return float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize(("size", "smaller"), [((640, 427), (384, 256)), ((427, 640), (256, 384)), ((3000, 300), (2560, 256))])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_shorter_side_has_so_many_px_and_the_picture_is_the_same(size, smaller, form):
    picture = CHINA.resize(size)
    made = stored(encoded(picture, form), short_side=256)
    assert (made.size, made.format, made.mode) == (smaller, "JPEG", "RGB")
    assert psnr(made, picture.resize(smaller, Image.Resampling.BICUBIC)) > 30


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("size", [(640, 256), (256, 256), (30, 20)])
def test_what_is_no_larger_keeps_its_bytes(form, size):
    image = encoded(CHINA.resize(size), form)
    assert StoredForm(short_side=256).of(image) == (image, False)


def test_a_photo_that_lies_on_its_side_is_stored_upright():
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    made = stored(encoded(CHINA, exif=turned), short_side=100)
    assert made.size == (100, 150)
    assert ORIENTATION not in made.getexif()


def test_transparent_clip_art_lies_on_the_background():
    art = Image.new("RGBA", (800, 1100), (0, 0, 0, 0))
    art.paste((0, 0, 0, 255), (200, 200, 600, 900))
    white, coloured = (
        np.asarray(stored(encoded(art, "PNG"), short_side=256, showing=Showing(ground))) for ground in ((255,) * 3, (250, 20, 20))
    )
    assert white[2, 2].min() > 250
    assert white[150, 128].max() < 5
    assert np.abs(coloured[2, 2].astype(int) - (250, 20, 20)).max() < 6


def test_grey_stays_grey_and_sixteen_bits_become_eight():
    assert stored(encoded(CHINA.convert("L")), short_side=64).mode == "L"
    deep = Image.fromarray(np.full((300, 300), 32_768, np.uint16))
    image, dark = StoredForm(short_side=64).of(encoded(deep, "PNG"))
    assert np.asarray(open_image(image)).mean() == pytest.approx(128, abs=1)
    assert not dark
    assert StoredForm(short_side=64).of(encoded(Image.fromarray(np.full((300, 300), 4000, np.uint16)), "PNG"))[1]


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "LA"])
@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("giant", [False, True])
def test_colours_of_12_bits_in_16_are_noticed(monkeypatch, kind, clear, giant):
    def dark(most: int) -> bool:
        pixel = [0, most, 0] if kind.startswith("RGB") else [most]
        row = np.array([*pixel, *([65_535] if kind.endswith("A") else [])] * 40, ">u2").tobytes()
        of_one_colour = {"clear": (1, 2, 3)} if clear and kind == "RGB" else {}
        image = png(row, 40, bits=16, kind=PNG_KINDS[kind], rows=40, **of_one_colour)
        return StoredForm(short_side=8).of(image)[1]

    monkeypatch.setattr(giant_picture, "GIANT", 100 if giant else 10_000)
    assert [dark(most) for most in (200, 1023, 4095, 4096, 65_535)] == [False, True, True, False, False]


def test_a_higher_quality_is_closer_and_larger():
    image, smaller = encoded(CHINA, "PNG"), CHINA.resize((384, 256), Image.Resampling.BICUBIC)
    made = [StoredForm(short_side=256, quality=quality).of(image)[0] for quality in (50, 90, 97)]
    assert sorted(map(len, made)) == list(map(len, made))
    noise = [psnr(open_image(one), smaller) for one in made]
    assert noise == sorted(noise)


def test_decoded_and_smaller_go_together():
    image, _ = StoredForm(pixels=True, short_side=64).of(encoded(CHINA))
    assert PIXELS.match(image)
    assert open_image(image).size == (96, 64)


def test_what_is_cut_short_is_refused_though_less_of_it_is_decoded():
    image = encoded(CHINA.resize((2400, 1600)))
    with pytest.raises(OSError, match="truncated"):
        StoredForm(short_side=100).of(image[: len(image) // 2])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"short_side": 0}, "--short_side is 0"),
        ({"short_side": 64, "quality": 101}, "--quality is 101"),
        ({"quality": 80}, "give --short_side"),
        ({"showing": Showing((0, 0, 0))}, "--background is of images that are stored by --short-side or --pixels"),
        ({"short_side": 64, "quality": 80, "pixels": True}, "without --pixels"),
    ],
)
def test_a_size_or_a_quality_that_there_is_not_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        StoredForm(**options)
