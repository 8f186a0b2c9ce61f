"""Pictures: which clusters are chosen, and that what is drawn shows what was given."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.datasets.encoded_image import encode_pixels
from pipelines.ingest.sources.digits import DigitsSource
from pipelines.tracking.cluster_pictures import TILE, choose_clusters, cluster_sheet, cluster_size_histogram, curves, mosaic


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_few_clusters_are_all_chosen_largest_first():
    assert choose_clusters(np.array([3, 0, 9, 5]), most=12, seed=0) == [2, 3, 0]


def test_many_clusters_give_the_largest_others_and_the_smallest_in_order_of_size():
    counts = np.random.default_rng(0).permutation(100)  # one of them is empty
    chosen = choose_clusters(counts, most=12, seed=0)
    sizes = counts[chosen].tolist()
    assert sizes[:4] == [99, 98, 97, 96]
    assert sizes[-4:] == [4, 3, 2, 1]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(chosen)) == 12


def test_the_middle_of_the_choice_follows_the_seed():
    counts = np.arange(1, 101)
    assert choose_clusters(counts, 12, seed=1) == choose_clusters(counts, 12, seed=1) != choose_clusters(counts, 12, seed=2)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 11])
def test_no_more_clusters_than_asked_for_are_chosen(most):
    chosen = choose_clusters(np.arange(1, 31), most, seed=0)
    assert len(chosen) == len(set(chosen)) == most


@pytest.mark.parametrize("heads", [1, 3])
def test_the_histogram_has_a_chart_per_head_with_its_minimum_in_red(tmp_path, heads):
    counts = [np.array([9, 4, 6, 1])] * heads
    cluster_size_histogram(counts, [(3.0, np.inf)] * heads, tmp_path / "sizes.png")
    picture = pixels(tmp_path / "sizes.png")
    assert picture.shape == (352, 550 * heads, 3)
    reddish = (picture[..., 0] > picture[..., 1] + 100) & (picture[..., 0] > picture[..., 2] + 100)
    assert all(reddish[:, 550 * head : 550 * (head + 1)].any() for head in range(heads))


def test_the_sheet_shows_the_images_of_each_cluster(tmp_path):
    red, blue = (encode_pixels(np.full((8, 8, 3), shade, np.uint8)) for shade in ((255, 0, 0), (0, 0, 255)))
    cluster_sheet({4: [red, red], 1: [blue]}, np.array([0, 1, 0, 0, 2]), tmp_path / "sheet.png")
    picture = pixels(tmp_path / "sheet.png")
    is_red, is_blue = ((picture == shade).all(axis=-1) for shade in ((255, 0, 0), (0, 0, 255)))
    assert is_red.sum() == pytest.approx(2 * is_blue.sum(), rel=0.1)
    assert np.flatnonzero(is_red.any(axis=1)).max() < np.flatnonzero(is_blue.any(axis=1)).min()


def test_the_sheet_takes_grey_scans_and_rows_of_different_length(tmp_path):
    source = DigitsSource()
    images = {cluster: [source.read(str(i)) for i in range(cluster + 1)] for cluster in range(3)}
    cluster_sheet(images, np.array([1, 2, 3]), tmp_path / "sheet.png")
    assert (pixels(tmp_path / "sheet.png") < 50).mean() > 0.05


def test_an_image_keeps_its_shape():
    file = io.BytesIO()
    Image.new("RGB", (4 * TILE, TILE), (200, 0, 0)).save(file, "PNG")
    sheet = mosaic([[file.getvalue()]], 1)
    is_red = (sheet[:TILE, :TILE] == (200, 0, 0)).all(axis=2)
    assert is_red.sum() == pytest.approx(TILE * TILE / 4, rel=0.1)
    assert is_red[TILE // 2].all()
    assert not is_red[0].any()


def test_a_place_without_an_image_stays_white():
    black = encode_pixels(np.zeros((8, 8, 3), np.uint8))
    drawn = mosaic([[black, None, black]], 3, gap=0)
    assert [drawn[:, start : start + TILE].max() for start in (0, 2 * TILE)] == [0, 0]
    assert drawn[:, TILE : 2 * TILE].min() == 255


def test_a_sheet_without_clusters_is_a_picture_still(tmp_path):
    cluster_sheet({}, np.zeros(3), tmp_path / "sheet.png")
    assert pixels(tmp_path / "sheet.png").min() == 255


@pytest.mark.parametrize(("names", "size"), [("", (275, 440)), ("ab", (275, 880)), ("abcd", (550, 1320))])
def test_curves_draws_a_chart_per_series_with_points(tmp_path, names, size):
    series = {name: [(0, 1.0), (1, 0.5)] for name in names} | {"empty": []}
    curves(series, tmp_path / "curves.png")
    assert pixels(tmp_path / "curves.png").shape[:2] == size
