"""Figures of features without labels, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from algos.label_free_scores import alignment, alpha_req, lidar, rankme, uniformity


def test_the_rank_of_the_identity_is_its_size_and_of_equal_rows_one():
    assert rankme(torch.eye(8)) == pytest.approx(8, rel=1e-4)
    assert rankme(torch.ones(50, 8)) == pytest.approx(1, rel=1e-4)
    assert rankme(torch.zeros(50, 8)) == pytest.approx(1, rel=1e-3)


def test_the_rank_is_that_of_the_singular_values_not_of_their_squares_and_of_no_centred_rows():
    rows = torch.tensor([[3.0, 0.0], [0.0, 1.0]])  # singular values 3 and 1, shares 3/4 and 1/4
    assert rankme(rows) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))), rel=1e-5)
    assert rankme(rows.repeat(4, 1)) == pytest.approx(rankme(rows), rel=1e-6)  # as X grows all values grow alike
    assert rankme(torch.cat([rows, rows.new_zeros(2, 3)], dim=1)) == pytest.approx(rankme(rows), rel=1e-5)


def test_the_rank_by_either_product_is_that_of_the_singular_values():
    rows = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    shares = torch.linalg.svdvals(rows.double())
    shares = shares / shares.sum() + 1e-7
    expected = float((-(shares * shares.log()).sum()).exp())
    assert rankme(rows) == pytest.approx(expected, rel=1e-6)
    assert rankme(rows.T) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_alpha_is_that_of_a_power_law_whatever_the_scale(alpha):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(400, 120, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(rows - rows.mean(dim=0)).Q
    features = 7 * basis * torch.arange(1, 121) ** (-alpha / 2)  # singular values i^(-alpha/2), eigenvalues i^-alpha
    found = alpha_req(features + 5)
    assert found == pytest.approx((alpha, 1.0), rel=1e-3)


def test_alpha_wants_as_many_eigenvalues_as_it_is_fitted_to():
    assert alpha_req(torch.randn(400, 99)) is None
    assert alpha_req(torch.randn(90, 200)) is None
    assert alpha_req(torch.ones(400, 200)) is None
    assert alpha_req(torch.randn(40, 8), ranks=(2, 6)) is not None


def test_a_fit_of_three_points_by_hand():
    # Eigenvalues 9, 4, 1 of rows whose means are 0: at i = 1, 2, 3 with weights 1, 1/2, 1/3.
    rows = torch.diag(torch.tensor([3.0, 2.0, 1.0])) / math.sqrt(2)
    x, y, w = [math.log(i) for i in (1, 2, 3)], [math.log(v) for v in (9, 4, 1)], [6 / 11, 3 / 11, 2 / 11]
    mx, my = (sum(a * b for a, b in zip(w, values, strict=True)) for values in (x, y))
    sxy = sum(a * (b - mx) * (c - my) for a, b, c in zip(w, x, y, strict=True))
    sxx, syy = (sum(a * (b - m) ** 2 for a, b in zip(w, values, strict=True)) for values, m in ((x, mx), (y, my)))
    assert alpha_req(torch.cat([rows, -rows]), ranks=(1, 3)) == pytest.approx((-sxy / sxx, sxy**2 / sxx / syy))


def test_lidar_by_hand():
    # Four images on the two axes, whose two views lie 0.5 and 0.1 away: S_w is diag(0.5, 0.02) + delta, S_b diag(8, 2) / 3.
    means = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    away = torch.tensor([[0.5, 0.1], [-0.5, -0.1]])
    views = means[:, None] + torch.stack([away * torch.tensor([1.0, 1.0]), away * torch.tensor([1.0, -1.0])] * 2)
    first, second = 8 / 3 / (0.5 + 1e-4), 2 / 3 / (0.02 + 1e-4)
    shares = [first / (first + second), second / (first + second)]
    assert lidar(views) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-5)


def test_lidar_wants_more_images_than_numbers():
    views = torch.randn(20, 3, 20)
    assert lidar(views) is None
    assert 1 < lidar(views[:, :, :5]) <= 5


def test_alignment_by_hand():
    apart = torch.tensor([[[1.0, 0.0], [0.0, 3.0]], [[2.0, 0.0], [5.0, 0.0]]])  # of length 1 they are sqrt 2 and 0 apart
    assert alignment(apart) == pytest.approx((2 + 0) / 2)
    three = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    assert alignment(three) == pytest.approx((2 + 2 + 4) / 3)


def test_uniformity_by_hand(monkeypatch):
    assert uniformity(torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])) == pytest.approx(0.0)
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8.0)
    rows = torch.randn(37, 6, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    expected = float(torch.pdist(unit).square().mul(-2).exp().mean().log())
    assert uniformity(rows) == pytest.approx(expected)
    monkeypatch.setattr("algos.label_free_scores.BLOCK", 100)
    assert uniformity(rows) == pytest.approx(expected)


def test_features_that_are_all_zero_are_all_alike():
    assert uniformity(torch.zeros(6, 4)) == uniformity(torch.ones(6, 4)) == pytest.approx(0, abs=1e-12)


def test_features_that_do_not_tell_images_apart_have_the_least_rank_of_all():
    assert rankme(torch.ones(50, 20)) == pytest.approx(1, abs=1e-3)
    for views in (torch.ones(50, 2, 20), torch.randn(50, 1, 20).repeat(1, 2, 1)[:1].repeat(50, 1, 1)):
        assert lidar(views) == pytest.approx(1, abs=1e-3)
