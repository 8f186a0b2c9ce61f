"""What SeCu says of itself, what it refuses with given data and views, and that nothing else knows of it."""

from __future__ import annotations

import re

import pytest

from algos.methods.secu.config import SeCuConfig
from algos.methods.secu.spec import SPEC
from algos.methods.spec import TrainingSetup
from tests.helpers.places import ROOT
from tests.helpers.runs.method_training import Flat


def setup(large=2, small=0) -> TrainingSetup:
    return TrainingSetup(rows=24, num_instances=30, batch_size=8, large_views=large, small_views=small, seed=3)


@pytest.mark.parametrize(
    ("settings", "views", "message"),
    [
        ({"num_clusters": [25]}, {}, "24 training images"),
        ({"num_clusters": [5]}, {"large": 1}, "exactly two large views"),
        ({"num_clusters": [5]}, {"large": 3}, "exactly two large views"),
        ({"num_clusters": [5]}, {"small": 2}, "views.small to none"),
    ],
)
def test_combinations_that_cannot_work_are_refused(settings, views, message):
    with pytest.raises(ValueError, match=message):
        SPEC.check(SeCuConfig(**settings), setup(**views))


def test_what_fits_is_built_for_every_instance_id():
    config = SeCuConfig(num_clusters=[5, 3], dim=6)
    SPEC.check(config, setup())
    assert SPEC.clusters(config, 30) == [5, 3]
    assert SPEC.build(config, Flat(), setup()).knowledge().clusters.shape == (2, 30)


def test_no_line_outside_its_folder_knows_it():
    named = re.compile(r"\bsecu(\b|_)", re.IGNORECASE)
    sources = [path for room in ("algos", "pipelines", "tune", "quorum") for path in (ROOT / room).rglob("*.py")]
    elsewhere = [path for path in sources if "secu" not in path.parent.parts and named.search(path.read_text())]
    assert elsewhere == []
    assert any("secu" in path.parent.parts for path in sources)
