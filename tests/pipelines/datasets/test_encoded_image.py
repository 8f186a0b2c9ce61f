"""Which files hold an image: by an allow-list of suffixes, and of formats whatever a file is called."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pipelines.datasets.encoded_image import FORMATS, IMAGE_SUFFIXES, identify, is_image, looks_like_image, open_image
from tests.helpers.places import ROOT

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
    with pytest.raises(UnidentifiedImageError) as refused:
        read(STRANGE[form])
    said = {"PDF": "a PDF: save its pages as PNG", "EPS": "no image: starts with %!PS-Adobe-3.0 EPSF-3.0"}
    assert str(refused.value) == said.get(form, f"no image: starts with {STRANGE[form][:8].hex(' ')}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"GIF89a\0\0", "damaged or of a rare kind: it begins as an image, and cannot be opened (save it anew)"),
        (b"{'error': 404}\n", "no image: starts with {'error': 404}"),
        (b"<html>\n<body>", "a web page: fetch the image again"),
        (b"<!doctype HTML>", "a web page: fetch the image again"),
        (b"\xff\n\xfa\x1f", "a JPEG XL picture: save it as PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture: save it as PNG"),
        (b"8BPS\0\1", "a Photoshop document: save it as PNG"),
        (bytes(128) + b"DICM\2\0", "a DICOM file: save its picture as PNG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS: run git lfs pull"),
        (b"/annex/objects/SHA256E-s1--0.jpg\n", "a pointer of git-annex: run git annex get"),
        (b"<?xml version='1.0'?><svg width='4'/>", "a drawing (SVG): save it as PNG"),
        (bytes(100), "nothing but zeros: fetch it again"),
        (bytes(100) + b"\1", "no image: starts with 00 00 00 00 00 00 00 00"),
        (b"\x89\x00\xff", "no image: starts with 89 00 ff"),
    ],
)
def test_what_is_no_image_is_said_in_words(content, said):
    with pytest.raises(UnidentifiedImageError) as refused:
        identify(content)
    assert str(refused.value) == said


def test_a_damaged_exif_block_is_no_line_of_pillows_among_those_of_an_ingest():
    jpeg = io.BytesIO()
    Image.new("RGB", (2, 2)).save(jpeg, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    opened = f"import io; from pipelines.datasets.encoded_image import identify; identify({jpeg.getvalue()!r}).getexif()"
    assert subprocess.run([sys.executable, "-c", opened], cwd=ROOT, capture_output=True, check=True).stderr == b""


@pytest.mark.parametrize(("start", "is_one"), [(b"\xff\xd8\xff\xe0", True), (b"\x89PNG\r\n\x1a\n", True), (b"P6\n4 4\n", True)])
def test_a_file_without_suffix_may_begin_as_an_image(start, is_one):
    assert looks_like_image(start) is is_one


@pytest.mark.parametrize("start", [b"", b"Python 3", b"Pf", b"#!/bin/sh", b"{", b"PK", bytes(64)])
def test_or_it_may_not(start):
    assert not looks_like_image(start)


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
