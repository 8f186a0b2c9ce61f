"""By which figure trials are ranked: on val where the data have it, and only by one that they will have."""

from __future__ import annotations

import pytest

from pipelines.errors import UserError
from tune.search.ranking import Scores

COKE = Scores("pretrain", "val", {"knn_top1": 1}, classifies=False)
PROTOCON = Scores("semisup", "val", {"knn_top1": 1, "accuracy": 1, "accuracy_ema": 1}, classifies=True)


@pytest.mark.parametrize(
    ("scores", "metric"),
    [
        (COKE, "val/knn_top1"),
        (PROTOCON, "val/accuracy_ema"),
        (Scores("pretrain", "test", {"knn_top1": 1}, classifies=False), "test/knn_top1"),
        (Scores("pretrain", None, {"knn_top1": 1}, classifies=False), "test/knn_top1"),
        (Scores("semisup", "val", {"knn_top1": 1, "accuracy": 0, "accuracy_ema": 0}, classifies=True), "val/knn_top1"),
    ],
)
def test_the_usual_one_is_the_score_that_chooses_checkpoints(scores, metric):
    assert scores.usual == metric


@pytest.mark.parametrize("metric", ["val/knn_top1", "train/epoch_loss", "clusters/head0/nmi", "stream/images_per_second"])
def test_a_figure_that_trials_have_is_taken(metric):
    COKE.check(metric)
    PROTOCON.check(metric)


@pytest.mark.parametrize("metric", ["val/accuracy", "pseudo_labels/coverage"])
def test_a_classifiers_figures_are_those_of_runs_that_have_one(metric):
    PROTOCON.check(metric)
    with pytest.raises(UserError, match="quorum pretrain"):
        COKE.check(metric)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("val/knn", "nearest valid name: val/knn_top1"),
        ("test/knn_top1", "trials are scored on val: take val/knn_top1, or set monitor.split to test"),
        ("evaluate/test/knn_top1", "is no figure of an epoch"),
        ("untrained/test/knn_top1", "is no figure of an epoch"),
        ("labels/head0/moved", "is no figure of an epoch"),
        ("val/linear_top1", "is no score of quorum pretrain; nearest valid name: val/knn_top1"),
        ("knn_top1", "test/knn_top1"),
    ],
)
def test_a_figure_that_no_trial_would_have_is_refused_before_the_start(metric, said):
    with pytest.raises(UserError) as refused:
        COKE.check(metric)
    assert said in str(refused.value)


@pytest.mark.parametrize(("split", "every"), [(None, 1), ("val", 0)])
def test_a_score_needs_labels_and_a_time(split, every):
    with pytest.raises(UserError, match=r"needs labels of a val split, and its monitor\.\*_epochs above 0"):
        Scores("pretrain", split, {"knn_top1": every}, classifies=False).check("val/knn_top1")
