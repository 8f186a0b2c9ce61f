"""What a configuration refuses before anything starts."""

from __future__ import annotations

import pytest

from pipelines.config.plain_values import flatten
from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.errors import UserError
from tests.helpers.pages.words import settings_of
from tests.helpers.places import COKE_DIGITS as RECIPE


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--epochs", "0"], "epochs is 0"),
        (["--compute.min_workers", "5"], "compute.min_workers"),
        (["--method.min_size_ratio", "1.1"], "method.min_size_ratio"),
        (["--method.name", "cook"], "method.name is 'cook'; nearest: coke"),
        (["--method.name", "protocon"], "which quorum semisup trains, not quorum pretrain"),
        (["--compute.gpus_per_worker", "0"], "compute.gpus_per_worker"),
        (["--tracking.system_seconds", "-1"], "tracking.system_seconds is -1.0; it must be 0 or more"),
        (["--compute.workers", "2", "--compute.compile", "true"], "compute.compile is true with 2 workers"),
        (["--views.large", "[{size: 16, scale: [0.0, 1.0]}]"], "scale"),
        (["--stream.decode", "gpu"], "stream.decode is gpu, and compute.gpu is false"),
        (["--stream.decode", "gpu", "--stream.pixels", "2"], "makes pixels of version 3, and stream.pixels is 2"),
        (["--stream.decode", "gpu", "--compute.gpu", "true", "--views.large", "[{size: 16, pad: 2, repeat: 2}]"], "has a pad"),
        (["--views.large", "[{size: 16, repeat: 3}]"], "views.small"),
    ],
)
def test_values_out_of_range(overrides, message):
    with pytest.raises(UserError, match=message):
        read_recipe(RECIPE, PretrainConfig, settings_of(overrides))


def test_flat_names_are_those_of_the_command_line():
    flat = flatten(read_recipe(RECIPE, PretrainConfig).to_dict())
    assert flat["method.num_clusters"] == [40, 60]
    assert flat["views.large"][0]["repeat"] == 2
