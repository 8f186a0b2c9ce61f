"""What CoKe says of itself, and what it refuses with given data and views."""

from __future__ import annotations

import pytest

from algos.methods.coke.config import CoKeConfig
from algos.methods.coke.spec import SPEC
from algos.methods.spec import TrainingSetup
from tests.helpers.runs.method_training import Flat


def setup(views: int) -> TrainingSetup:
    return TrainingSetup(rows=24, num_instances=30, batch_size=8, large_views=views, seed=3)


@pytest.mark.parametrize(
    ("settings", "views", "message"),
    [
        ({"num_clusters": [25]}, 1, "24 training images"),
        ({"num_clusters": [5], "label_weight": 0.2}, 1, "views.large"),
        ({"num_clusters": [5], "average_from": 3}, 2, "one view"),
    ],
)
def test_combinations_that_cannot_work_are_refused(settings, views, message):
    with pytest.raises(ValueError, match=message):
        SPEC.check(CoKeConfig(**settings), setup(views))


def test_what_fits_is_built_for_every_instance_id():
    config = CoKeConfig(num_clusters=[5, 3], dim=6, predictor_hidden=8)
    SPEC.check(config, setup(1))
    assert SPEC.clusters(config, 30) == [5, 3]
    assert SPEC.build(config, Flat(), setup(1)).knowledge().clusters.shape == (2, 30)
