"""When a run is told that it collapses, and when it is not."""

from __future__ import annotations

import math

import pytest
import torch

from algos.kmeans.certificate import EpochSummary
from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig, TrainingConfig
from pipelines.training.collapse import signs
from pipelines.training.session import keys_of
from tests.helpers.pages.words import settings_of


def config(*words: str) -> TrainingConfig:
    return read_recipe("coke_digits", PretrainConfig, settings_of(["--data", "data/digits", *words]))  # a warm-up of two epochs


def head(*counts: float) -> EpochSummary:
    nothing = torch.tensor(0.0)
    return EpochSummary(torch.tensor(counts, dtype=torch.float64), 0.0, nothing, math.inf, torch.tensor(math.inf))


def said(*words: str, epoch: int = 5, heads: tuple[EpochSummary, ...] = (), change: float | None = 0.2, rank: float | None = 40.0,
         features: int = 128) -> dict[str, str]:  # fmt: skip
    found = signs(keys_of(config(*words)), epoch, heads or (head(10, 30, 20),), label_change=change, rank=rank, features=features)
    return {sign.kind: sign.words for sign in found}


def test_a_healthy_epoch_has_none():
    assert said() == {}
    assert said(rank=None, change=None) == {}
    assert said(change=0.0) == {}  # labels may settle


@pytest.mark.parametrize(
    ("counts", "full"),
    [((66, 34, 0), False), ((67, 33, 0), True), ((74, 26), False), ((76, 24), True), ((52.6, *[2.5] * 19), True)],
)
def test_one_cluster_is_too_large_beyond_the_middle_between_an_equal_share_and_all(counts, full):
    assert (set(said(heads=(head(*counts),))) == {"cluster"}) is full


def test_the_fullest_head_is_named_with_the_likely_cause_and_the_key():
    heads = head(5, 5, 5), head(1, 9, 1), head(0, 99, 1)
    free = said("--method.min_size_ratio", "0", heads=heads)["cluster"]
    assert free.startswith("epoch 6: one cluster of head 2 holds 99% of the images: ")
    assert free.endswith("likely because method.min_size_ratio is 0: raise it, for example to 0.4")
    assert said("--method.dual_lr", "0.01", heads=heads)["cluster"].endswith("raise method.dual_lr (0.01), or set it to null")
    assert said(heads=heads)["cluster"].endswith("lower optimizer.lr (0.03)")
    unbounded = said("--method.assignment", "none", "--method.min_size_ratio", "0", heads=heads)["cluster"]
    assert unbounded.endswith(
        "likely because method.assignment is none, in which nothing bounds a cluster: set it to constrained"
    )


def test_labels_that_stand_still_are_said_where_one_cluster_has_them():
    assert "holds 100% of the images, and only 0.2% of the labels change" in said(heads=(head(0, 90),), change=0.002)["cluster"]


def test_few_dimensions_are_said_once_the_warm_up_is_over():
    words = said(rank=1.3)["rank"]
    assert words.startswith("epoch 6: the features of all images lie in 1.3 dimensions of 128 (RankMe): ")
    assert words.endswith("lower optimizer.lr (0.03) or set optimizer.clip_norm")
    assert said("--optimizer.clip_norm", "1", rank=1.3)["rank"].endswith("lower optimizer.lr (0.03)")
    assert said(rank=1.3, epoch=2) == {}
    assert set(said(rank=1.3, epoch=3)) == {"rank"}
    assert said(rank=2.6) == {}
    assert said(rank=1.3, features=8) == {}
