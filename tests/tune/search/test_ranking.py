"""By which figure trials are ranked: on val where the data have it, and only by one that they will have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.errors import UserError
from tune.search.ranking import Scores

COKE = Scores("pretrain", "val", ["knn_top1"], classifies=False, splits=["train", "val", "test"])
PROTOCON = replace(COKE, command="semisup", names=["accuracy_ema", "accuracy", "knn_top1"], classifies=True)
WITHOUT_VAL = replace(COKE, split="test", splits=["train", "test"])


@pytest.mark.parametrize(
    ("scores", "metric"),
    [(COKE, "val/knn_top1"), (PROTOCON, "val/accuracy_ema"), (WITHOUT_VAL, "test/knn_top1")],
)
def test_the_usual_one_is_the_score_that_chooses_checkpoints(scores, metric):
    assert scores.usual == metric
    scores.check(metric, reported=True)


@pytest.mark.parametrize("scores", [replace(COKE, split=None), replace(COKE, names=[])])
def test_without_a_score_the_metric_has_to_be_named(scores):
    with pytest.raises(UserError, match=r"metric is missing.*name a figure, as train/epoch_loss"):
        _ = scores.usual


def test_figures_of_features_rank_trials_without_labels_on_the_split_that_they_are_of():
    unlabelled = replace(COKE, split=None, names=[], splits=["train"], observed="train")
    unlabelled.check("features/train/rankme", reported=True)
    with pytest.raises(UserError, match=r"name a figure, as features/train/rankme or train/epoch_loss"):
        _ = unlabelled.usual
    with pytest.raises(UserError, match=r"looked at on train: take features/train/rankme"):
        unlabelled.check("features/test/rankme")
    with pytest.raises(UserError, match="nearest valid name: features/train/rankme"):
        unlabelled.check("features/train/rank_me")
    with pytest.raises(UserError, match=r"set monitor.feature_epochs above 0"):
        COKE.check("features/val/rankme")


@pytest.mark.parametrize(
    "metric",
    ["train/epoch_loss", "clusters/head0/smallest", "clusters/label_change", "progress/epoch", "stream/rows_left_out"],
)
def test_a_figure_of_an_epochs_end_may_decide_meanwhile(metric):
    COKE.check(metric, reported=True)


@pytest.mark.parametrize("metric", ["train/lr", "clusters/head0/nmi", "stream/images_per_second"])
def test_what_is_recorded_beside_the_training_ranks_what_is_done_only(metric):
    COKE.check(metric)
    with pytest.raises(UserError, match="scheduler and searcher do not see it"):
        COKE.check(metric, reported=True)


@pytest.mark.parametrize("metric", ["val/accuracy", "pseudo_labels/coverage"])
def test_a_classifiers_figures_are_those_of_runs_that_have_one(metric):
    PROTOCON.check(metric)
    with pytest.raises(UserError, match="quorum pretrain"):
        COKE.check(metric)


@pytest.mark.parametrize(
    ("scores", "metric", "said"),
    [
        (COKE, "val/knn", "nearest valid name: val/knn_top1"),
        (COKE, "test/knn_top1", "trials are scored on val: take val/knn_top1, or set monitor.split to test"),
        (COKE, "evaluate/test/knn_top1", "is no figure of an epoch"),
        (COKE, "untrained/test/knn_top1", "is no figure of an epoch"),
        (COKE, "labels/head0/moved", "is no figure of an epoch"),
        (COKE, "quality/head0/silhouette", "is no figure of an epoch"),
        (COKE, "system/cpu_utilization_percentage", "is no figure of an epoch"),
        (COKE, "clusters/head1/smallest", "but trials have 1 head, from head0 on"),
        (COKE, "train/loss", "is of the last monitor.log_steps steps; that of an epoch is train/epoch_loss"),
        (COKE, "train/gradient_norm", "that of an epoch is train/epoch_loss"),
        (COKE, "val/linear_top1", "is no score of quorum pretrain; nearest valid name: val/knn_top1"),
        (COKE, "knn_top1", "test/knn_top1"),
        (WITHOUT_VAL, "val/knn_top1", "have no val split; quorum ingest --val makes one, or take test/knn_top1"),
        (replace(COKE, split=None), "val/knn_top1", "needs labels of a val split, and its monitor.*_epochs above 0"),
        (replace(COKE, names=[]), "val/knn_top1", "needs labels of a val split, and its monitor.*_epochs above 0"),
    ],
)
def test_a_figure_that_no_trial_would_have_is_refused_before_the_start(scores, metric, said):
    with pytest.raises(UserError) as refused:
        scores.check(metric)
    assert said in str(refused.value)
