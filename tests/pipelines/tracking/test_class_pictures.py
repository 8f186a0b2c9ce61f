"""Pictures of a method with classes: what is drawn is what was given."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.datasets.encoded_image import encode_pixels
from pipelines.tracking.class_pictures import change_sheet, confusions, prototype_similarities


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def share(path, colour):
    return (np.abs(pixels(path) - colour).max(axis=-1) < 20).mean()


GREEN, RED = (44, 160, 44), (214, 39, 40)  # matplotlib's tab:green and tab:red
BLUE = (0, 0, 255)
IMAGE = encode_pixels(np.full((8, 8, 3), BLUE, np.uint8))


@pytest.mark.parametrize(
    ("change", "greener"),
    [((IMAGE, "cat", "dog", "dog"), True), ((IMAGE, "cat", "dog", "cat"), False)],
)
def test_a_change_for_the_better_is_green_and_one_for_the_worse_red(tmp_path, change, greener):
    change_sheet([change] * 3, tmp_path / "sheet.png")
    green, red = share(tmp_path / "sheet.png", GREEN), share(tmp_path / "sheet.png", RED)
    assert (green > red) == greener
    assert max(green, red) > 0 == min(green, red)


def bands(marked):
    """How many runs of marked places a line has."""
    return int(np.diff(marked.astype(int), prepend=0).clip(min=0).sum())


@pytest.mark.parametrize(("changes", "rows", "columns"), [(3, 1, 3), (10, 2, 8)])
def test_every_change_has_its_image_and_a_class_wrong_before_and_after_is_black(tmp_path, changes, rows, columns):
    change_sheet([(IMAGE, "cat", "dog", "owl")] * changes, tmp_path / "sheet.png")
    blue = (pixels(tmp_path / "sheet.png") == BLUE).all(axis=-1)
    assert (bands(blue.any(axis=1)), bands(blue.any(axis=0))) == (rows, columns)
    assert share(tmp_path / "sheet.png", GREEN) == share(tmp_path / "sheet.png", RED) == 0


def test_no_change_is_an_empty_sheet(tmp_path):
    change_sheet([], tmp_path / "sheet.png")
    assert pixels(tmp_path / "sheet.png").min() == 255


def test_confusions_are_darker_on_the_diagonal_the_more_labels_are_right(tmp_path):
    truth = np.arange(100) % 4
    confusions(truth, (truth + 1) % 4, truth, list("abcd"), tmp_path / "both.png")
    picture = pixels(tmp_path / "both.png")
    dark = (picture[..., 2] > 90) & (picture[..., 0] < 30)  # the end of the blue scale
    left, right = np.array_split(dark, 2, axis=1)
    assert left.sum() == pytest.approx(right.sum(), rel=0.05)  # four of sixteen fields each
    assert not np.array_equal(left, right)


@pytest.mark.parametrize("classes", [3, 40])
def test_similarities_of_prototypes_with_few_or_many_classes(tmp_path, classes):
    prototypes = np.eye(classes, 64, dtype=np.float32)
    prototype_similarities(prototypes, [f"class {k}" for k in range(classes)], tmp_path / "map.png")
    picture = pixels(tmp_path / "map.png")
    assert ((picture[..., 2] > 80) & (picture[..., 0] < 30)).any()  # the diagonal, similarity 1
    assert ((picture > 240).all(axis=-1)).any()
