"""Which files hold an image: by an allow-list of suffixes, and of formats whatever a file is called."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pipelines.datasets.encoded_image import FORMATS, IMAGE_SUFFIXES, identify, is_image, open_image

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
STRANGE = {"EPS": EPS, "PDF": b"%PDF-1.4\n", "MPEG": b"\x00\x00\x01\xb3" + bytes(32), "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(32)}


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "b/c.png", "x.webp", "x.tif", "x.jp2", "x.avif", "x.pgm", "x.bmp", "x.mpo"])
def test_files_that_may_hold_an_image(name):
    assert is_image(name)


@pytest.mark.parametrize("name", ["a.pdf", "a.eps", "a.ps", "a.mpg", "a.h5", "a.wmf", "a.grib", "a.txt", "jpg", "a.jpg.txt"])
def test_files_that_do_not(name):
    assert not is_image(name)


@pytest.mark.parametrize("form", STRANGE)
@pytest.mark.parametrize("read", [identify, open_image])
def test_a_format_that_starts_other_programs_is_not_opened_whatever_it_is_called(form, read, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)  # Ghostscript, for example
    with pytest.raises(UnidentifiedImageError, match="no image in one of the formats AVIF, BMP") as refused:
        read(STRANGE[form])
    assert "BytesIO" not in str(refused.value)


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"QOI"}))
def test_every_format_of_the_list_is_read(form):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    picture = identify(buffer.getvalue())
    picture.load()
    assert picture.format in FORMATS
    assert picture.size == (16, 16)


def test_every_suffix_is_of_a_format_of_the_list():
    registered = Image.registered_extensions()
    assert {registered[suffix] for suffix in IMAGE_SUFFIXES} <= {*FORMATS}
