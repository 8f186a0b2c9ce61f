"""Crops of what a device decodes, on a CPU with the same library's codec: within rounding those that tasks make."""

from __future__ import annotations

import io
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from pipelines.errors import UserError
from pipelines.stream.images.crop_maker import GREY, CropMaker, draws_column
from pipelines.stream.images.decoded_rows import EncodedRows, codec_of
from pipelines.stream.images.encoded_maker import EncodedMaker
from pipelines.views.crops import ATTEMPTS, CropSpec
from pipelines.views.shown_picture import Showing
from tests.helpers.inputs.layouts import jpeg

CROPS = [CropSpec(32, (0.1, 1.0)), CropSpec(32, (0.3, 1.0)), CropSpec(24, (0.05, 0.3))]
CPU = torch.device("cpu")
QUANTIZATION = b"\xff\xdb"  # marks a JPEG's tables


def png(index: int) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg(index))).save(file, "PNG")
    return file.getvalue()


def damaged(image: bytes) -> bytes:
    """A JPEG that opens, and lacks what it takes to decode it."""
    while (start := image.find(QUANTIZATION)) >= 0:
        image = image[:start] + image[start + 2 + int.from_bytes(image[start + 2 : start + 4]) :]
    return image


def table(images: list[bytes], counts: list[int]) -> pa.Table:
    draws = np.random.default_rng(3).random((len(images), len(CROPS), ATTEMPTS, 4), dtype=np.float32)
    columns = {name: np.arange(len(images)) for name in ("step", "id", "label")} | {"crops": np.array(counts, np.int32)}
    return pa.table(columns | {"draws": draws_column(draws), "image": pa.array(images, pa.binary())})


def on_device(rows: pa.Table, *, checked: bool = True) -> tuple[list[torch.Tensor], int]:
    """The crops by the device, of rows that come in two parts."""
    maker = EncodedMaker(CROPS, Showing(), 1000, checked)
    parts = [part for first in (0, 2) for part in maker(rows.slice(first, 2 if first == 0 else None))]
    return EncodedRows.of(parts, CROPS).views(CROPS, codec_of(CPU), CPU)


def in_tasks(rows: pa.Table) -> list[torch.Tensor]:
    (made,) = CropMaker(CROPS, Showing(), 1000)(rows)
    return [torch.from_numpy(made[f"view{index}"]).permute(0, 3, 1, 2) for index in range(len(CROPS))]


@pytest.mark.parametrize(
    ("images", "counts"),
    [
        ([jpeg(0), png(1), jpeg(2), jpeg(3), jpeg(4), png(5)], [3, 3, 3, 3, 1, 1]),
        ([jpeg(index) for index in range(70)], [3] * 70),  # more than are padded to one size together
        ([png(index) for index in range(3)], [3, 1, 3]),
    ],
)
def test_its_crops_are_those_of_tasks(images, counts):
    rows = table(images, counts)
    found, unreadable = on_device(rows)
    assert unreadable == 0
    for mine, wanted in zip(found, in_tasks(rows), strict=True):
        off = (mine.int() - wanted.int()).abs()
        assert off.float().mean() < 0.5
        assert off.max() <= 3
        assert mine.is_contiguous(memory_format=torch.channels_last)


def test_a_crop_that_a_row_has_not_is_black():
    (_, second, third), _ = on_device(table([jpeg(0), png(1), jpeg(2)], [1, 1, 3]))
    assert not second[:2].any()
    assert not third[:2].any()
    assert second[2].any()


def test_a_damaged_jpeg_is_grey_and_counted_and_the_others_are_right():
    images = [jpeg(0), damaged(jpeg(1)), jpeg(2)]
    found, unreadable = on_device(table(images, [3, 3, 3]), checked=False)
    assert unreadable == 1
    for mine, whole in zip(found, in_tasks(table([jpeg(index) for index in range(3)], [3, 3, 3])), strict=True):
        assert (mine[1] == GREY).all()
        assert (mine[::2].int() - whole[::2].int()).abs().max() <= 3


def test_without_its_library_it_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(UserError, match=r"stream.decode: gpu needs torchcodec .* pip install"):
        codec_of(CPU)
