"""Scores of guessed classes against cases that are worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.class_scores import ClassTable, Guesses, calibration_error, macro_accuracy, top_k_accuracy
from algos.scores import knn_guesses, knn_predict


def test_guesses_are_sorted_and_of_equal_ones_the_lowest_comes_first():
    found = Guesses.of_logits(torch.tensor([[0.0, 2.0, 2.0, 1.0, -1.0, -2.0, -3.0]]))
    assert found.classes.tolist() == [[1, 2, 3, 0, 4]]
    exact = torch.tensor([0.0, 2.0, 2.0, 1.0, -1.0, -2.0, -3.0]).softmax(0)
    assert found.shares[0].tolist() == pytest.approx(exact[[1, 2, 3, 0, 4]].tolist())


def test_the_margin_lies_between_the_two_likeliest():
    halves = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]])  # 1/2 and 1/2; 3/4 and 1/4
    assert Guesses.of_logits(halves).margin.tolist() == pytest.approx([0.0, 0.5])
    assert Guesses.of_logits(torch.zeros(1, 1)).margin.tolist() == [1.0]


def test_top_k_counts_a_label_among_the_first_k():
    classes = torch.tensor([[0, 1, 2], [2, 0, 1], [1, 2, 0], [1, 0, 2]])
    labels = torch.tensor([0, 0, 0, 2])
    assert [top_k_accuracy(classes, labels, k) for k in (1, 2, 3)] == [0.25, 0.5, 1.0]


def test_a_class_that_nobody_voted_for_is_no_guess():
    found = Guesses.of_votes(torch.tensor([[0.0, 3.0, 1.0, 0.0]]))
    assert (found.classes.tolist(), found.shares.tolist()) == ([[1, 2, -1, -1]], [[0.75, 0.25, 0.0, 0.0]])
    assert top_k_accuracy(found.classes, torch.tensor([0]), 4) == 0.0


def test_macro_accuracy_is_the_mean_over_the_classes_that_are_there():
    labels = torch.tensor([0, 0, 0, 0, 3, 3])  # no row of 1 and 2
    predictions = torch.tensor([0, 0, 0, 1, 3, 0])
    assert macro_accuracy(predictions, labels) == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_calibration_error_by_hand():
    # Bins (0, 1/2] and (1/2, 1]. In the first 0.5 and 0.3, one right: |1/2 - 0.4|; in the second 0.9, 0.9 and 0.6, two right.
    confidence = torch.tensor([0.5, 0.3, 0.9, 0.9, 0.6], dtype=torch.float64)
    hits = torch.tensor([True, False, True, True, False])
    assert calibration_error(confidence, hits, bins=2) == pytest.approx(2 / 5 * 0.1 + 3 / 5 * abs(2 / 3 - 0.8))


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    edge, above = torch.tensor([1 / 15, 1 / 15 + 1e-9], dtype=torch.float64)
    hits = torch.tensor([True, False])
    together, apart = torch.stack([edge / 2, edge]), torch.stack([edge, above])
    assert calibration_error(together, hits) == pytest.approx(abs(1 - 1.5 / 15) / 2)  # one bin: |sum of hits - confidence| / 2
    assert calibration_error(apart, hits) == pytest.approx((14 / 15 + 1 / 15) / 2)  # two bins


def test_perfect_calibration_has_no_error():
    confidence, hits = torch.full((10,), 0.8), torch.tensor([True] * 8 + [False] * 2)
    assert calibration_error(confidence, hits) == pytest.approx(0.0, abs=1e-7)
    assert calibration_error(torch.ones(4), torch.zeros(4, dtype=torch.bool)) == 1.0


def test_a_table_names_what_each_class_is_taken_for():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 3, 3, 3])
    guesses = torch.tensor([0, 1, 1, 3, 1, 1, 0, 1, 3])
    table = ClassTable.of(guesses, labels, 4)
    assert table.rows.tolist() == [4, 2, 0, 3]
    assert table.accuracy.tolist() == pytest.approx([1 / 4, 1.0, np.nan, 1 / 3], nan_ok=True)
    assert table.confused_with.tolist() == [1, -1, -1, 0]  # 3 is once 0 and once 1: the lower one
    assert table.confused_rows.tolist() == [2, 0, 0, 1]


def test_every_number_of_neighbours_votes_as_it_does_alone():
    generator = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(300, 8, generator=generator), torch.randn(40, 8, generator=generator)
    labels = torch.randint(7, (300,), generator=generator)
    found = knn_guesses(queries, bank, labels, num_classes=7, neighbours=[20, 1, 5, 500])
    assert list(found) == [20, 1, 5, 500]
    for k, guesses in found.items():
        assert guesses.first.tolist() == knn_predict(queries, bank, labels, num_classes=7, neighbours=k).tolist()
        assert guesses.shares.sum(dim=1).max() <= 1 + 1e-6
    assert (found[1].classes[:, 1:] == -1).all()  # one voter has one class


def test_votes_of_two_neighbours_by_hand():
    bank, labels = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), torch.tensor([2, 0, 1])
    (guesses,) = knn_guesses(torch.tensor([[1.0, 0.0]]), bank, labels, num_classes=3, neighbours=[2], temperature=0.2).values()
    weight = np.exp((0.8 - 1.0) / 0.2)
    assert guesses.classes.tolist() == [[2, 0, -1]]
    assert guesses.shares[0].tolist() == pytest.approx([1 / (1 + weight), weight / (1 + weight), 0.0])
