"""What a configuration refuses before anything starts."""

from __future__ import annotations

import pytest

from pipelines.config.method_configs import PretrainConfig
from pipelines.config.plain_values import flatten
from pipelines.config.recipe import read_recipe
from pipelines.errors import UserError
from tests.helpers.made_up_data import dataset
from tests.helpers.places import COKE_DIGITS as RECIPE


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--batch_size", "30"], "multiple of data.lanes"),
        (["--batch_size", "2048"], "exceeds the 1000 images"),
        (["--compute.workers", "9"], "data.lanes"),
        (["--accumulate", "32"], "fewer than 2 rows"),
        (["--method.num_clusters", "[1001]"], "1000 training images"),
        (["--method.average_from", "3"], "one view"),
        (["--data.split", "trian"], "nearest valid name: train"),
    ],
)
def test_what_data_and_settings_cannot_do_together(overrides, message):
    with pytest.raises(UserError, match=message):
        read_recipe(RECIPE, PretrainConfig, overrides).check(dataset())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--epochs", "0"], "epochs is 0"),
        (["--compute.min_workers", "5"], "compute.min_workers"),
        (["--method.min_size_ratio", "1.1"], "method.min_size_ratio"),
        (["--backbone.name", "resnet10"], "nearest"),
        (["--views.large", "[{size: 16, scale: [0.0, 1.0]}]"], "scale"),
        (["--views.large", "[{size: 16, repeat: 3}]"], "views.small"),
    ],
)
def test_values_out_of_range(overrides, message):
    with pytest.raises(UserError, match=message):
        read_recipe(RECIPE, PretrainConfig, overrides)


def test_scores_need_labels():
    with pytest.raises(UserError, match="no labels"):
        read_recipe(RECIPE, PretrainConfig).check(dataset(labelled=0))


def test_flat_names_are_those_of_the_command_line():
    flat = flatten(read_recipe(RECIPE, PretrainConfig).to_dict())
    assert flat["method.num_clusters"] == [40, 60]
    assert flat["views.large"][0]["repeat"] == 2
