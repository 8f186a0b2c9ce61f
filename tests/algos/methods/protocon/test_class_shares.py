"""What alignment draws the classes to, by hand."""

from __future__ import annotations

import pytest
import torch

from algos.methods.protocon.class_shares import ClassShares
from algos.methods.protocon.pseudo_labels import Aligner

LOGITS = torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log()
MEAN = torch.tensor([0.6, 0.4])


def aligned(shares, kind="window", labelled=None):
    aligner = Aligner(2, kind, shares=shares)
    return aligner, aligner.weak(LOGITS, MEAN, labelled)


def by_hand(first, second):
    """Rows of `LOGITS`, the classes weighed by two factors."""
    weighed = LOGITS.exp() * torch.tensor([first, second])
    return weighed / weighed.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("kind", ["window", "ema"])
def test_shares_of_the_labels_weigh_what_is_divided_by_the_mean(kind):
    _, found = aligned(ClassShares(2, "labels", label_counts=(3, 1)), kind)
    torch.testing.assert_close(found, by_hand(0.75 / 0.6, 0.25 / 0.4), atol=1e-5, rtol=0)
    _, found = aligned(ClassShares(2, "labels", label_counts=(4, 4)), kind)
    torch.testing.assert_close(found, aligned(ClassShares(2), kind)[1])


@pytest.mark.parametrize("kind", ["window", "ema"])
@pytest.mark.parametrize(("power", "factors"), [(0.0, (1 / 0.6, 1 / 0.4)), (0.5, (0.6**-0.5, 0.4**-0.5)), (1.0, (1.0, 1.0))])
def test_estimated_shares_lie_between_equal_ones_and_no_alignment(kind, power, factors):
    _, found = aligned(ClassShares(2, "estimated", power=power), kind)
    torch.testing.assert_close(found, by_hand(*factors), atol=1e-5, rtol=0)


def test_the_estimate_is_of_the_whole_window():
    aligner, _ = aligned(ClassShares(2, "estimated", power=0.5))
    aligner.finish()
    found = aligner.weak(LOGITS, torch.tensor([0.2, 0.8]))  # both batches: (0.4, 0.6)
    torch.testing.assert_close(found, by_hand(0.4**-0.5, 0.6**-0.5))


def test_the_running_mean_starts_at_the_first_batch_and_holds_the_one_that_it_aligns():
    aligner = Aligner(2, "ema", momentum=0.5)
    torch.testing.assert_close(aligner.weak(LOGITS, MEAN), by_hand(1 / 0.6, 1 / 0.4), atol=1e-5, rtol=0)
    aligner.finish()
    found = aligner.weak(LOGITS, torch.tensor([0.2, 0.8]))  # (0.6 + 0.2) / 2
    torch.testing.assert_close(found, by_hand(1 / 0.4, 1 / 0.6), atol=1e-5, rtol=0)
    aligner.finish()
    torch.testing.assert_close(aligner.mean, torch.tensor([0.4, 0.6]))


def test_predicted_shares_run_from_those_of_the_labels_to_what_is_guessed_for_labelled_rows():
    shares = ClassShares(2, "predicted", label_counts=(3, 1), momentum=0.5)
    aligner, found = aligned(shares, "ema", torch.tensor([0.25, 0.75]))  # (0.75 + 0.25) / 2
    torch.testing.assert_close(found, by_hand(0.5 / 0.6, 0.5 / 0.4), atol=1e-5, rtol=0)
    aligner.finish()
    torch.testing.assert_close(shares.predicted.value, torch.tensor([0.5, 0.5]))
    assert "shares.predicted.value" in aligner.state_dict()


def test_equal_means_leave_guesses_as_they_are_where_shares_are_predicted():
    _, found = aligned(ClassShares(2, "predicted", momentum=0.0), "ema", MEAN)
    torch.testing.assert_close(found, LOGITS.exp())


def test_shares_that_learn_nothing_are_no_state():
    for kind in ("equal", "labels", "estimated"):
        assert Aligner(2, "window", shares=ClassShares(2, kind)).state_dict().keys() == Aligner(2, "window").state_dict().keys()


@pytest.mark.parametrize("kind", ["window", "ema"])
def test_a_row_of_a_class_that_no_labelled_row_is_taken_for_keeps_it(kind):
    shares = ClassShares(2, "predicted", label_counts=(1, 1), momentum=0.0)
    row, mean = torch.tensor([[0.0, -torch.inf]]), torch.tensor([0.5, 0.5])
    found = Aligner(2, kind, shares=shares).weak(row, mean, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0]]))
