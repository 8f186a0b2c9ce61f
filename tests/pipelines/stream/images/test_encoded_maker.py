"""Which images a GPU gets, and the boxes of their crops."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipelines.stream.images import encoded_maker
from pipelines.stream.images.crop_maker import CropMaker, draws_column
from pipelines.stream.images.encoded_maker import EncodedMaker, size_for_gpu
from pipelines.views.crops import ATTEMPTS, CropSpec, random_box
from pipelines.views.shown_picture import ORIENTATION, Showing
from tests.helpers.inputs.layouts import jpeg

CROPS = [CropSpec(24, (0.1, 1.0)), CropSpec(8, (0.1, 0.4))]


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def photo(width: int = 60, height: int = 40) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(0))).convert("RGB").resize((width, height))


def turned() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(photo(), exif=exif)


def unit(images: list[bytes], counts: list[int]) -> tuple[pa.Table, np.ndarray]:
    draws = np.random.default_rng(0).random((len(images), len(CROPS), ATTEMPTS, 4), dtype=np.float32)
    columns = {name: np.arange(len(images)) for name in ("step", "id", "label")} | {"crops": np.array(counts, np.int32)}
    return pa.table(columns | {"draws": draws_column(draws), "image": pa.array(images, pa.binary())}), draws


def test_a_usual_jpeg_goes_to_the_gpu_with_the_boxes_of_its_draws():
    table, draws = unit([encoded(photo())], [2])
    (made,) = EncodedMaker(CROPS, Showing(), 1000)(table)
    boxes = [random_box(draw.tolist(), 60, 40, crop.scale) for crop, draw in zip(CROPS, draws[0], strict=True)]
    assert made["encoded"][0] == encoded(photo())
    assert made["boxes"][0].tolist() == [list(map(float, box)) for box in boxes]
    assert "unreadable" not in made


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(encoded(photo(), "PNG"), id="another format"),
        pytest.param(encoded(photo().convert("L")), id="grey"),
        pytest.param(encoded(photo().convert("CMYK")), id="CMYK"),
        pytest.param(encoded(photo(), keep_rgb=True), id="RGB, as it is"),
        pytest.param(turned(), id="turned"),
        pytest.param(encoded(photo()) + b"more", id="with bytes after its end"),
    ],
)
def test_what_a_gpu_might_show_otherwise_comes_cropped(image):
    table, _ = unit([image, image], [2, 1])
    (made,) = EncodedMaker(CROPS, Showing(), 1000)(table)
    (wanted,) = CropMaker(CROPS, Showing(), 1000)(table)
    assert np.isnan(made["boxes"]).all()
    assert made["encoded"][0] == wanted["view0"][0].tobytes() + wanted["view1"][0].tobytes()
    assert made["encoded"][1] == wanted["view0"][1].tobytes()


def test_a_very_large_jpeg_stays_on_the_cpus_which_decode_it_coarsely(monkeypatch):
    assert size_for_gpu(encoded(photo())) == (60, 40)
    monkeypatch.setattr(encoded_maker, "MOST_PIXELS", 60 * 40 - 1)
    assert size_for_gpu(encoded(photo())) is None


def test_what_is_cut_short_is_left_to_the_cpus_who_notice():
    assert size_for_gpu(encoded(photo(300, 200))[:-300]) is None


def test_what_is_no_image_is_grey_and_counted_where_none_was_checked():
    table, _ = unit([b"no image", encoded(photo())], [2, 2])
    (made,) = EncodedMaker(CROPS, Showing(), 1000, checked=False)(table)
    assert made["unreadable"].tolist() == [1, 0]
    assert set(made["encoded"][0]) == {128}


def test_what_is_no_image_ends_the_job_where_all_were_checked():
    table, _ = unit([b"no image"], [2])
    with pytest.raises(Exception, match="no image"):
        list(EncodedMaker(CROPS, Showing(), 1000)(table))
