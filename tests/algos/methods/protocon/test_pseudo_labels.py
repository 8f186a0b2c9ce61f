"""Alignment, refinement and the clusters' votes, by hand."""

from __future__ import annotations

import pytest
import torch

from algos.methods.protocon import pseudo_labels
from algos.methods.protocon.pseudo_labels import WINDOW, Aligner, cluster_pseudo_labels, refine


def logits(*rows):
    return torch.tensor(rows).log()


def test_window_alignment_divides_by_the_mean_of_the_last_batches():
    aligner = Aligner(2, "window")
    batch = logits([0.8, 0.2], [0.6, 0.4])
    mean = torch.tensor([0.7, 0.3])
    expected = torch.tensor([0.8, 0.2]) / mean
    torch.testing.assert_close(aligner.weak(batch, mean)[0], expected / expected.sum())
    aligner.finish()
    both = (mean + torch.tensor([0.5, 0.5])) / 2
    expected = torch.tensor([0.8, 0.2]) / both
    torch.testing.assert_close(aligner.weak(batch, torch.tensor([0.5, 0.5]))[0], expected / expected.sum())


def test_the_window_forgets_what_is_older():
    aligner = Aligner(2, "window")
    for _ in range(WINDOW + 5):
        aligner.weak(logits([0.9, 0.1]), torch.tensor([0.9, 0.1]))
        aligner.finish()
    for _ in range(WINDOW - 2):
        aligner.weak(logits([0.5, 0.5]), torch.tensor([0.5, 0.5]))
        aligner.finish()
    still = aligner.weak(logits([0.8, 0.2]), torch.tensor([0.5, 0.5]))  # one old batch is among the 32
    assert not torch.allclose(still, torch.tensor([[0.8, 0.2]]), atol=1e-3)
    aligner.finish()
    torch.testing.assert_close(aligner.weak(logits([0.8, 0.2]), torch.tensor([0.5, 0.5])), torch.tensor([[0.8, 0.2]]))


def test_debias_takes_the_mean_before_the_batch_for_weak_and_after_it_for_strong_views():
    aligner = Aligner(2, "debias", weight=0.5, momentum=0.9)
    batch, mean = logits([0.8, 0.2]), torch.tensor([0.8, 0.2])
    torch.testing.assert_close(aligner.weak(batch, mean), torch.tensor([[0.8, 0.2]]))  # the mean is still uniform
    after = 0.9 * torch.tensor([0.5, 0.5]) + 0.1 * mean
    torch.testing.assert_close(aligner.strong(batch), batch + 0.5 * after.log())
    aligner.finish()
    torch.testing.assert_close(aligner.weak(batch, mean), (batch - 0.5 * after.log()).softmax(dim=1))


def test_without_alignment_guesses_are_the_softmax():
    aligner = Aligner(2, "none")
    batch = logits([0.8, 0.2])
    torch.testing.assert_close(aligner.weak(batch, torch.tensor([0.9, 0.1])), torch.tensor([[0.8, 0.2]]))
    assert aligner.strong(batch) is batch


def test_refinement_mixes_the_two():
    mixed = refine(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 0.8)
    torch.testing.assert_close(mixed, torch.tensor([[0.8, 0.2]]))


CLUSTERS = torch.tensor([0, 0, 0, 1, -1], dtype=torch.int32)
LABELS = torch.tensor([0, 0, 1, 1, 0], dtype=torch.int8)
SCORES = torch.tensor([0.5, 0.25, 0.25, 0.5, 1.0], dtype=torch.float16)


@pytest.mark.parametrize(
    ("vote", "first"),
    [("similarity", [0.75, 0.25]), ("count", [2 / 3, 1 / 3]), ("score", [1.5 / 1.75, 0.25 / 1.75])],
)
def test_members_vote_and_an_empty_cluster_is_uniform(vote, first):
    made = cluster_pseudo_labels(CLUSTERS, LABELS, SCORES, (3, 2), vote)
    torch.testing.assert_close(made, torch.tensor([first, [0.0, 1.0], [0.5, 0.5]]))


def test_members_on_the_far_side_do_not_vote_and_leave_no_negative_share():
    made = cluster_pseudo_labels(
        torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.tensor([0.5, -0.5, -0.1]), (2, 2), "similarity"
    )
    torch.testing.assert_close(made, torch.tensor([[1.0, 0.0], [0.5, 0.5]]))


def test_votes_that_are_counted_in_parts_give_the_same_bits(monkeypatch):
    random = torch.Generator().manual_seed(3)
    clusters, labels = torch.randint(-1, 5, (997,), generator=random), torch.randint(0, 4, (997,), generator=random)
    scores = torch.randn(997, generator=random).half()
    whole = cluster_pseudo_labels(clusters, labels, scores, (5, 4), "score")
    monkeypatch.setattr(pseudo_labels, "VOTERS", 10)
    assert torch.equal(cluster_pseudo_labels(clusters, labels, scores, (5, 4), "score"), whole)


def test_debias_takes_a_class_of_which_no_share_is_left_for_a_rare_one():
    aligner = Aligner(2, "debias", weight=0.5, momentum=0.0)
    sure = torch.tensor([[200.0, 0.0]])  # a softmax of (1, 0) in float32
    aligner.weak(sure, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(aligner.strong(sure), torch.tensor([[200.0, -43.668]]), atol=1e-2, rtol=0)  # log(2^-126) / 2
    aligner.finish()
    torch.testing.assert_close(aligner.weak(sure, torch.tensor([1.0, 0.0])), torch.tensor([[1.0, 0.0]]))
