"""What ProtoCon says of itself, and what it refuses with given data and views."""

from __future__ import annotations

from dataclasses import replace

import pytest

from algos.methods.protocon.config import ProtoConConfig
from algos.methods.protocon.spec import SPEC
from algos.methods.spec import TrainingSetup
from tests.helpers.runs.method_training import Flat

SETUP = TrainingSetup(rows=24, num_instances=30, batch_size=8, large_views=2, num_classes=3, seed=3)


@pytest.mark.parametrize("views", [{"large_views": 1}, {"small_views": 2}])
def test_a_weak_and_a_strong_view_are_all_that_it_takes(views):
    with pytest.raises(ValueError, match="exactly two large rules"):
        SPEC.check(ProtoConConfig(num_clusters=[4]), replace(SETUP, **views))


def test_clusters_without_members_to_vote_are_refused():
    with pytest.raises(ValueError, match="asks for 16 clusters of 30"):
        SPEC.check(ProtoConConfig(num_clusters=[16]), SETUP)


def test_what_fits_is_built_for_every_instance_id_and_class():
    config = ProtoConConfig(instances_per_cluster=5, dim=6)
    SPEC.check(config, SETUP)
    assert SPEC.clusters(config, 30) == [6]
    knowledge = SPEC.build(config, Flat(), SETUP).knowledge()
    assert knowledge.clusters.shape == (1, 30)
    assert knowledge.prototypes.shape == (3, 6)


def test_classes_without_a_label_and_shares_of_the_labels_come_from_their_counts():
    setup = replace(SETUP, label_counts=(6, 0, 2))
    assert setup.unlabelled_classes == (1,)
    config = ProtoConConfig(instances_per_cluster=5, dim=6, class_shares="labels", confidence="flexmatch")
    method = SPEC.build(config, Flat(), setup)
    assert method.aligner.shares.given.tolist() == [0.75, 0.0, 0.25]
    assert method.rule.num_rows == 24  # images that are trained on, not ids
