"""Figures of features without labels, of real shards through Ray Data."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from algos.label_free_scores import alignment, rankme, uniformity
from pipelines.datasets.image_shards import Dataset
from pipelines.evaluation.features import split_features
from pipelines.evaluation.label_free import feature_figures, view_features
from pipelines.stream.images.center_crops import EvaluationView
from pipelines.views.augment import RandomViews
from pipelines.views.view_config import ViewConfig

pytestmark = pytest.mark.ray

VIEW = EvaluationView(8, [0.3] * 3, [0.35] * 3)
RULE = ViewConfig(8, (0.5, 1.0), jitter=(0.4, 0.4, 0.0, 0.0))
WHOLE = ViewConfig(8, (1.0, 1.0), flip=0.0)
DRAWN, CPU = RandomViews([RULE] * 2), torch.device("cpu")


class Pixels(nn.Module):
    """Every other pixel of the first channel."""

    num_features = 32

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, :, ::2].flatten(1)


def test_figures_are_of_the_first_images_of_the_split_and_of_two_views_of_each(local_ray, some_digits: Dataset):
    network = Pixels().train()
    found = feature_figures(network, some_digits, "train", VIEW, DRAWN, CPU, images=200)
    assert network.training
    assert set(found) == {"images", "rankme", "uniformity", "alignment", "lidar"}  # 32 numbers are too few for alpha-ReQ
    _, _, features = split_features(network, some_digits, "train", VIEW, CPU, limit=200)
    views = view_features(network, some_digits, "train", VIEW, DRAWN, CPU, images=200)
    assert (found["images"], len(features), views.shape) == (200, 200, (200, 2, 32))
    assert found["rankme"] == pytest.approx(rankme(features))
    assert found["uniformity"] == pytest.approx(uniformity(features))
    assert found["alignment"] == pytest.approx(alignment(views))
    assert found["alignment"] > 0
    assert not torch.equal(views[:, 0], views[:, 1])
    assert torch.equal(views, view_features(network, some_digits, "train", VIEW, DRAWN, CPU, images=200))


def test_one_image_has_no_pair_to_be_uniform(local_ray, some_digits: Dataset):
    found = feature_figures(Pixels(), some_digits, "train", VIEW, DRAWN, CPU, images=1)
    assert set(found) == {"images", "rankme", "alignment"}


def test_features_that_are_no_numbers_have_no_figures(local_ray, some_digits: Dataset):
    class Broken(Pixels):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) / 0

    assert feature_figures(Broken(), some_digits, "train", VIEW, DRAWN, CPU, images=50) == {"images": 50}


def test_views_that_are_the_whole_image_are_its_center_crop(local_ray, some_digits: Dataset):
    _, _, features = split_features(Pixels(), some_digits, "train", VIEW, CPU, limit=150)
    views = view_features(Pixels(), some_digits, "train", VIEW, RandomViews([WHOLE] * 2), CPU, images=150)
    torch.testing.assert_close(views, features[:, None].expand(-1, 2, -1), atol=0.05, rtol=0)


def test_an_images_views_do_not_depend_on_how_many_are_looked_at(local_ray, some_digits: Dataset):
    few, many = (view_features(Pixels(), some_digits, "train", VIEW, DRAWN, CPU, images=images) for images in (60, 300))
    torch.testing.assert_close(few, many[::5])
