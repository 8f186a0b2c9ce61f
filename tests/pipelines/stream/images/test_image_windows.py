"""Windows: the rows, crops and labels of a step do not depend on who reads them or where reading began."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.datasets.image_shards import read_column, read_images
from pipelines.stream import row_groups
from pipelines.stream.epoch_order import EpochOrder, StreamShape, lanes_of_worker
from pipelines.stream.images import crop_maker
from pipelines.stream.images.center_crops import CenterReader, EvaluationView, spread
from pipelines.stream.images.image_windows import WindowReader
from pipelines.views.crops import CropSpec, center_crop
from tests.helpers.inputs.digit_shards import write_digits
from tests.helpers.runs.steps import steps_of

SHAPE = StreamShape(batch_size=24, lanes=6, window=10)  # lanes of 4 rows, windows of 3 steps, 12 steps
CROPS = [CropSpec(8, (0.3, 1.0)), CropSpec(8, (0.3, 1.0)), CropSpec(4, (0.1, 0.3))]
WHOLE = [CropSpec(8, (1.0, 1.0))]


def read(dataset, lanes=range(6), crops=CROPS, *, start_step=0, epoch=0, seed=3):
    """Every step that one worker reads, as a list of columns."""
    order = EpochOrder(dataset.split("train"), SHAPE, seed=seed, epoch=epoch)
    reader = WindowReader(dataset, "train", order, lanes, crops, start_step)
    return steps_of(reader, SHAPE.lane_rows * len(lanes))


def assert_same(steps, others):
    assert len(steps) == len(others)
    for step, other in zip(steps, others, strict=True):
        assert step.keys() == other.keys()
        for name in step:
            np.testing.assert_array_equal(step[name], other[name])


def test_a_step_has_the_shape_of_a_batch(some_digits):
    steps = read(some_digits)
    assert len(steps) == 12
    shapes = {name: column.shape for name, column in steps[0].items()}
    views = {"view0": (24, 8, 8, 3), "view1": (24, 8, 8, 3), "view2": (24, 4, 4, 3)}
    assert shapes == {"step": (24,), "id": (24,), "label": (24,)} | views
    assert [set(step["step"].tolist()) for step in steps] == [{number} for number in range(12)]
    assert all(steps[0][name].dtype == np.uint8 for name in views)


def test_pixels_belong_to_the_ids_and_labels_are_hidden(some_digits):
    steps = read(some_digits, crops=WHOLE)
    images = read_images(some_digits, "train", range(300))
    ids = np.concatenate([step["id"] for step in steps])
    assert len(set(ids.tolist())) == len(ids) == 288
    for step in steps:
        assert (step["label"] == -1).all()
        for row, view in zip(step["id"].tolist(), step["view0"], strict=True):
            np.testing.assert_array_equal(view[..., 1], np.asarray(Image.open(io.BytesIO(images[row]))))


@pytest.mark.parametrize("workers", [2, 3, 6])
def test_workers_rows_joined_are_those_of_one(some_digits, workers):
    parts = [read(some_digits, lanes_of_worker(6, rank, workers)) for rank in range(workers)]
    joined = [{name: np.concatenate([part[name] for part in step]) for name in step[0]} for step in zip(*parts, strict=True)]
    assert_same(joined, read(some_digits))


@pytest.mark.parametrize("start", [1, 3, 5, 11])
def test_starting_late_gives_the_tail(some_digits, start):
    assert_same(read(some_digits, start_step=start), read(some_digits)[start:])


def test_spans_may_be_read_one_by_one_and_in_any_order(some_digits, monkeypatch):
    monkeypatch.setattr(row_groups, "HELD_BYTES", 0)  # each window is a span of its own
    order = EpochOrder(some_digits.split("train"), SHAPE, seed=3, epoch=0)
    reader = WindowReader(some_digits, "train", order, range(6), CROPS, 0)
    assert len(reader.spans) == 4
    last_first = [step for number in (3, 2, 1, 0) for step in reversed(steps_of(reader, 24, [number]))]
    assert_same(last_first[::-1], read(some_digits))


def test_rows_that_are_decoded_in_other_units_are_the_same(some_digits, monkeypatch):
    expected = read(some_digits)
    monkeypatch.setattr(crop_maker, "UNIT_ROWS", (7, 7))
    monkeypatch.setattr(crop_maker, "BLOCK_BYTES", 500)
    assert_same(read(some_digits), expected)


def test_another_epoch_or_seed_gives_other_rows_and_crops(some_digits):
    first = read(some_digits)
    for other in (read(some_digits, epoch=1), read(some_digits, seed=4)):
        assert not np.array_equal(first[0]["id"], other[0]["id"])
    assert not np.array_equal(first[0]["view0"], first[0]["view1"])


def test_ids_with_holes_and_unlabelled_rows_pass(tmp_path):
    dataset = write_digits(tmp_path / "digits", 60, 40, holes={2, 41, 42}, labelled=False)
    steps = read(dataset, crops=WHOLE)
    ids = {row for step in steps for row in step["id"].tolist()}
    assert len(ids) == 48
    assert not ids & {2, 41, 42}
    assert all((step["label"] == -1).all() for step in steps)


def center(dataset, workers, limit):
    readers = [CenterReader(dataset, "train", EvaluationView(8, [0.5], [0.5]), limit, rank, workers) for rank in range(workers)]
    blocks = [block for reader in readers for block in reader({"id": np.arange(len(reader.jobs))})]
    return {name: np.concatenate([block[name] for block in blocks]) for name in ("id", "label", "image")}


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("limit", "ids"),
    [
        (None, range(300)), (300, range(300)), (1000, range(300)), (1, [0]), (3, [0, 100, 200]),
        (64, [row + i for row in range(0, 300, 2) if row // 2 in {run * 150 // 32 for run in range(32)} for i in (0, 1)]),
    ],
)  # fmt: skip
def test_the_evaluation_covers_a_sample_of_the_whole_split_once(some_digits, workers, limit, ids):
    rows = center(some_digits, workers, limit)
    assert sorted(rows["id"].tolist()) == list(ids)
    np.testing.assert_array_equal(rows["label"], read_column(some_digits, "train", "label")[rows["id"]])
    images = read_images(some_digits, "train", rows["id"].tolist())
    for row, image in zip(rows["id"].tolist(), rows["image"], strict=True):
        np.testing.assert_array_equal(image, np.broadcast_to(center_crop(images[row], 8, 8), (8, 8, 3)))


@pytest.mark.parametrize(
    ("rows", "limit", "run", "places"),
    [
        (10, 4, 1, [0, 2, 5, 7]), (10, 4, 2, [0, 1, 4, 5]), (10, 5, 2, [0, 1, 2, 3, 6]), (9, 8, 2, [0, 1, 2, 3, 4, 5, 6, 7]),
        (3, 3, 2, [0, 1, 2]), (3, 7, 1, [0, 1, 2]),
    ],
)  # fmt: skip
def test_a_sample_is_spread_from_the_first_row_to_the_last(rows, limit, run, places):
    assert spread(rows, limit, run).tolist() == places
