"""Units and blocks: of sizes that Ray passes on, from tiny images with many crops to large ones."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipelines.stream.images.crop_maker import CropMaker, draws_column
from pipelines.views.crops import ATTEMPTS, CropSpec
from pipelines.views.shown_picture import Showing

TWO, DIGITS = [CropSpec(224, (0.1, 1.0))] * 2, [CropSpec(28, (0.1, 1.0))] * 2
EIGHT = TWO + [CropSpec(96, (0.1, 1.0))] * 6


def unit(maker: CropMaker, image_bytes: int) -> pa.Table:
    """What a reader hands to a task that decodes."""
    rows = maker.unit_rows
    draws = draws_column(np.zeros((rows, len(maker.crops), ATTEMPTS, 4), np.float32))
    long = {name: np.zeros(rows, np.int64) for name in ("id", "label")}
    short = {name: np.zeros(rows, np.int32) for name in ("step", "crops")}
    return pa.table(long | short | {"draws": draws, "image": pa.array([b"x" * image_bytes] * rows, pa.binary())})


@pytest.mark.parametrize("crops", [TWO, EIGHT, DIGITS])
@pytest.mark.parametrize("image_bytes", [300, 2_300, 8_700, 26_000, 57_000, 110_000, 300_000, 1_000_000, 10_000_000])
def test_units_and_blocks_have_sizes_that_ray_does_not_cut(crops, image_bytes):
    maker = CropMaker(crops, Showing(), image_bytes)
    if maker.apart:
        assert 1 <= unit(maker, image_bytes).nbytes / maker.block_bytes <= 1.5
    row_bytes = sum(crop.size**2 * 3 for crop in crops)
    blocks = -(-maker.unit_rows // maker._block_rows)
    assert blocks <= 64
    assert maker._block_rows * row_bytes <= 1.5 * maker.block_bytes or maker._block_rows == 1


def test_a_small_image_with_large_crops_is_read_and_decoded_by_one_task():
    assert not CropMaker(EIGHT, Showing(), 700).apart
    assert CropMaker(EIGHT, Showing(), 57_000).apart
    assert CropMaker(DIGITS, Showing(), 300).apart
