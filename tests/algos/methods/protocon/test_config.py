"""What settings of ProtoCon are refused, and the heads that they make."""

from __future__ import annotations

import pytest

from algos.methods.protocon.config import ProtoConConfig


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"confidence_threshold": 0.0}, "confidence_threshold is 0.0; it must lie in"),
        ({"confidence_threshold": 1.01}, "confidence_threshold"),
        ({"refine_weight": 1.2}, "refine_weight"),
        ({"refine_from": 0}, "refine_from"),
        ({"prototype_weight": -1.0}, "prototype_weight"),
        ({"num_clusters": []}, "num_clusters"),
        ({"mean_momentum": 1.5}, "mean_momentum"),
        ({"share_power": -0.1}, "share_power"),
        ({"fairness_weight": -1.0}, "fairness_weight"),
        ({"dual_lr": 0.0}, "dual_lr"),
    ],
)
def test_values_outside_their_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ProtoConConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_shares": "labels", "alignment": "none"}, "class_shares is labels, but method.alignment none draws"),
        ({"class_shares": "estimated", "alignment": "debias"}, "set alignment to window or ema, or class_shares to equal"),
        ({"aligned_targets": False, "alignment": "debias"}, "aligned_targets is false, but method.alignment debias"),
    ],
)
def test_alignments_that_contradict_each_other_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ProtoConConfig(**settings)


def test_clusters_follow_from_the_wanted_size_and_must_be_able_to_vote():
    assert ProtoConConfig(instances_per_cluster=200).clusters(50_000) == [250]
    assert ProtoConConfig(num_clusters=[7, 9]).clusters(100) == [7, 9]
    with pytest.raises(ValueError, match="instances_per_cluster is 200"):
        ProtoConConfig(instances_per_cluster=200).clusters(399)
    with pytest.raises(ValueError, match="asks for 51 clusters of 100"):
        ProtoConConfig(num_clusters=[51]).clusters(100)
