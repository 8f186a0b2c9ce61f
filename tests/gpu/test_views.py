"""The device's part of augmentation: the pixels of a CPU, and no wait."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines.stream.images.crop_maker import draws_column
from pipelines.stream.images.decoded_rows import EncodedRows, codec_of
from pipelines.stream.images.encoded_maker import EncodedMaker
from pipelines.views.augment import augment, draws_needed, normalize
from pipelines.views.colour import change_colour
from pipelines.views.crops import ATTEMPTS, CropSpec
from pipelines.views.shown_picture import Showing
from pipelines.views.view_config import ViewConfig
from tests.helpers.inputs.layouts import jpeg
from tests.helpers.inputs.photos import SIZE, photos

pytestmark = pytest.mark.gpu

ROWS = 32
RULES = {
    "coke": ViewConfig(SIZE, jitter=(0.4, 0.4, 0.2, 0.1), gray_p=0.2, blur_p=0.5, solarize_p=0.2),
    "protocon": ViewConfig(SIZE, randaugment=2, cutout=0.5),
    "every operation": ViewConfig(SIZE, randaugment=8, magnitude=10),
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4), 2)), ids=str)
def test_colours_changed_in_one_pass_are_those_of_a_cpu(gpu, order):
    changes = torch.tensor([[0.4, -0.3, 0.2, 0.5], [-1.0, 0.4, -0.4, -0.5], [0.9, -1.0, 3.0, 0.25], [0.1, 2.0, -1.0, -0.1]])
    images = torch.cat([photos(4).float() / 255, torch.full((4, 3, SIZE, 1), 0.5)], dim=3)  # greys have no hue
    for layout in (torch.contiguous_format, torch.channels_last):
        found = change_colour(images.to(gpu, memory_format=layout), changes, order)
        torch.testing.assert_close(found.cpu(), change_colour(images, changes, order), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_views_are_those_of_a_cpu_and_nothing_waits(gpu, no_waiting, rule):
    pixels = photos(ROWS).contiguous(memory_format=torch.channels_last)
    uniform = torch.from_numpy(np.random.default_rng(0).random((ROWS, draws_needed(rule)), dtype=np.float32))
    order, pinned = np.array([2, 0, 3, 1]), pixels.pin_memory()
    normalize(torch.zeros(1, 3, 1, 1, device=gpu), MEAN, STD)  # its constants are copied once
    with no_waiting():
        found = normalize(augment(pinned.to(gpu, non_blocking=True), rule, uniform, order), MEAN, STD)
    assert found.is_contiguous(memory_format=torch.channels_last)
    wanted = normalize(augment(pixels, rule, uniform, order), MEAN, STD)
    off = (found.cpu() - wanted).abs()
    # Operations on whole bytes, and those with a threshold, may round one value to its neighbour; a blur is in half precision.
    level = 1 / 255 / min(STD)
    assert (off > level / 4).float().mean() < 1e-3, (
        f"{(off > level / 4).float().mean():.2%} of the numbers differ, by up to {off.max():.3f}"
    )


def test_jpegs_decoded_on_the_device_are_those_of_a_cpu_within_its_codec(gpu):
    pytest.importorskip("torchcodec")
    crops = [CropSpec(SIZE, (0.2, 1.0))] * 2
    draws = np.random.default_rng(1).random((ROWS, 2, ATTEMPTS, 4), dtype=np.float32)
    columns = {name: np.arange(ROWS) for name in ("step", "id", "label")} | {"crops": np.full(ROWS, 2, np.int32)}
    images = [jpeg(index) for index in range(ROWS)]
    table = pa.table(columns | {"draws": draws_column(draws), "image": pa.array(images, pa.binary())})
    rows = EncodedRows.of(list(EncodedMaker(crops, Showing(), 1000)(table)), crops)
    assert len(rows.images) == ROWS
    found, unreadable = rows.views(crops, codec_of(gpu), gpu)
    wanted, _ = rows.views(crops, codec_of(torch.device("cpu")), torch.device("cpu"))
    assert unreadable == 0
    for mine, its in zip(found, wanted, strict=True):
        off = (mine.cpu().int() - its.int()).abs().float()
        assert off.mean() < 3, f"{off.mean():.2f} of 255 in the mean, up to {off.max():.0f}"
