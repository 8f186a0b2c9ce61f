"""Scores against hand-made cases and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from algos import scores
from algos.scores import accuracy, knn_predict, linear_probe, size_figures


def test_votes_are_weighted_by_similarity():
    bank = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6]])
    labels = torch.tensor([0, 1, 1])
    query = torch.tensor([[2.0, 0.0]])  # similarities 1, .8, .8: exp(1 / T) beats 2 exp(.8 / T) for small T only
    cold = knn_predict(query, bank, labels, num_classes=2, neighbours=3, temperature=0.1)
    warm = knn_predict(query, bank, labels, num_classes=2, neighbours=3, temperature=1.0)
    assert (cold.tolist(), warm.tolist()) == ([0], [1])


def test_nearest_neighbour_agrees_with_scikit_learn_on_real_digits():
    data = load_digits()
    rows, labels = torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target)
    mine = knn_predict(rows[1400:], rows[:1400], labels[:1400], num_classes=10, neighbours=1)
    theirs = KNeighborsClassifier(1, metric="cosine").fit(data.data[:1400], data.target[:1400]).predict(data.data[1400:])
    assert np.mean(mine.numpy() == theirs) > 0.995


def test_a_small_bank_votes_whole():
    assert knn_predict(torch.eye(2), torch.eye(2), torch.tensor([1, 0]), num_classes=2, neighbours=50).tolist() == [1, 0]


def test_a_low_temperature_is_a_vote_of_the_nearest_alone():
    bank, labels = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([1, 0])
    assert knn_predict(bank, bank, labels, num_classes=2, temperature=1e-3).tolist() == [1, 0]


def test_a_bank_that_is_read_in_blocks_votes_as_a_whole_one(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(500, 8, generator=generator), torch.randn(60, 8, generator=generator)
    labels = torch.randint(5, (500,), generator=generator)
    whole = knn_predict(queries, bank, labels, num_classes=5)
    monkeypatch.setattr(scores, "CHUNK", 8 * 37)  # blocks of 37 rows, the last of 19
    assert knn_predict(queries, bank, labels, num_classes=5).tolist() == whole.tolist()


def test_linear_probe_is_as_good_as_logistic_regression_and_repeats_itself():
    data = load_digits()
    rows, labels = torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target)
    first, second = (linear_probe(rows[:1400], labels[:1400], num_classes=10, epochs=30)(rows[1400:]).argmax(dim=1) for _ in "ab")
    theirs = (
        LogisticRegression(max_iter=500).fit(data.data[:1400], data.target[:1400]).score(data.data[1400:], data.target[1400:])
    )
    assert accuracy(first, labels[1400:]) == pytest.approx(theirs, abs=0.03)
    assert torch.equal(first, second)


def test_size_figures_by_hand():
    figures = size_figures(torch.tensor([0, 2, 6]), 2.0)
    assert figures["cluster_size_min"] == 0
    assert figures["cluster_size_max"] == 6
    assert figures["cluster_size_median"] == 2
    assert size_figures(torch.tensor([6, 1, 3, 2]), 2.0)["cluster_size_median"] == 2.5
    assert figures["empty_clusters"] == 1
    assert figures["clusters_below_minimum"] == 1
    assert figures["cluster_size_entropy"] == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(3))
    assert size_figures(torch.tensor([5, 5]), 0.0)["cluster_size_entropy"] == pytest.approx(1.0)


def test_a_cluster_of_just_its_bound_is_no_miss():
    minimum, maximum = 0.1 * 3, 0.7 * 300 / 7  # 0.30000000000000004 and 29.999999999999996
    assert size_figures(torch.tensor([0.3, 0.4]).double(), minimum)["clusters_below_minimum"] == 0
    assert size_figures(torch.tensor([30.0, 29.0]).double(), 0.0, maximum)["clusters_above_maximum"] == 0


def test_one_row_has_a_probe():
    probe = linear_probe(torch.randn(1, 3), torch.zeros(1, dtype=torch.int64), num_classes=2, epochs=3)
    assert torch.isfinite(probe(torch.zeros(2, 3))).all()
