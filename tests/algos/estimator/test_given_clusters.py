"""An estimator that starts from clusters: a fitted one's, or centers with prices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from algos.estimator import ConstrainedKMeans
from algos.estimator.given_clusters import GivenClusters
from algos.kmeans.dual_step import default_dual_lr


def lumps(rows: int = 3000, offset: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(0)
    share = random.uniform(0.5, 2.0, 10)
    lump = random.choice(10, rows, p=share / share.sum())
    return offset + random.normal(size=(10, 6))[lump] + 0.4 * random.normal(size=(rows, 6))


METRICS = pytest.mark.parametrize(("metric", "offset"), [("cosine", 0.0), ("euclidean", 1e4)])


@METRICS
def test_labels_keep_their_numbers_and_all_but_a_few_their_rows(metric, offset):
    rows = lumps(offset=offset)
    first = ConstrainedKMeans(12, metric=metric, random_state=0, max_iter=8).fit(rows)
    once = ConstrainedKMeans(12, metric=metric, init=first, random_state=1, max_iter=1).fit(rows)
    often = ConstrainedKMeans(12, metric=metric, init=first, random_state=1, max_iter=8).fit(rows)
    anew = ConstrainedKMeans(12, metric=metric, init=first.cluster_centers_, random_state=1, max_iter=8).fit(rows)
    share = [(other.labels_ != first.labels_).mean() for other in (once, often, anew)]
    assert share[0] < 0.01
    assert share[1] < 0.02
    assert share[1] < share[2]
    assert often.objective_ >= first.objective_ - 1e-3 * abs(first.objective_)


@METRICS
@pytest.mark.parametrize("as_tuple", [False, True])
def test_centers_and_prices_are_taken_in_units_of_the_data(metric, offset, as_tuple):
    rows = lumps(offset=offset)
    first = ConstrainedKMeans(12, metric=metric, random_state=0, max_iter=8, min_size_ratio=0.9).fit(rows)
    init = (first.cluster_centers_, first.duals_) if as_tuple else first
    second = ConstrainedKMeans(12, metric=metric, init=init, min_size_ratio=0.9)
    second.partial_fit(rows)  # gives the labels that the batch got before anything moved
    assert (second.labels_ != first.labels_).mean() < 0.001
    assert second._geometry.scale == pytest.approx(first._geometry.scale)


def test_a_pass_begins_with_the_rows_that_clusters_had_and_the_step_that_comes_next():
    rows = np.repeat([[1.0, 0.0], [0.0, 1.0]], [60, 20], axis=0)
    first = ConstrainedKMeans(2, init=[[1.0, 0.0], [0.0, 1.0]], max_iter=2, tol=0).fit(rows)
    given = GivenClusters.of(first, "cosine", 9)
    assert given is not None
    assert (given.shares.tolist(), given.passes, given.steps) == ([0.75, 0.25], 2, 40)
    assert given.rows(41).tolist() == [30, 10]
    assert given.rows(1).tolist() == [1, 1]
    second = ConstrainedKMeans(2, init=first, dual_lr=0.3, max_iter=1).fit(rows)
    torch.testing.assert_close(second._core.dual_lr, torch.full((2,), 0.1, dtype=torch.float64))
    stream = ConstrainedKMeans(2, init=first).partial_fit(rows[:8])
    torch.testing.assert_close(stream._core.counts, torch.tensor([120.0 + 8, 40.0], dtype=torch.float64))
    assert float(stream._core.dual_lr[0]) == pytest.approx(default_dual_lr(2, 0.4, 41))


def test_prices_without_an_estimator_have_settled_if_there_are_any():
    centers = np.eye(2)
    with_prices, without = (GivenClusters.of((centers, prices), "cosine", 7) for prices in ([0.1, 0.0], [0, 0]))
    assert with_prices is not None
    assert without is not None
    assert (with_prices.passes, without.passes, with_prices.shares.tolist()) == (7, 0, [0.5, 0.5])
    assert GivenClusters.of(centers, "cosine", 7) is None
    assert GivenClusters.of(((1.0, 0.0), (0.0, 1.0)), "cosine", 7) is None  # two centers
    assert GivenClusters.of("random", "cosine", 7) is None


def test_a_clone_starts_from_the_same_fitted_clusters():
    rows = lumps()
    first = ConstrainedKMeans(12, random_state=0, max_iter=3).fit(rows)
    second = ConstrainedKMeans(12, init=first, random_state=0, max_iter=2)
    copy = clone(second)
    assert copy.init is first
    assert not hasattr(copy, "labels_")
    assert (copy.fit(rows).labels_ == second.fit(rows).labels_).all()
    assert clone(first).get_params() == first.get_params()
    search = GridSearchCV(second, {"dual_lr": [0.1, 0.2]}, cv=2).fit(rows)
    assert search.best_estimator_.init is first


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (ConstrainedKMeans(3), "init is a ConstrainedKMeans that is not fitted"),
        (
            ConstrainedKMeans(3, metric="euclidean").fit(np.eye(3)),
            "init was fitted with metric='euclidean', this has 'cosine'",
        ),
        (ConstrainedKMeans(2).fit(np.eye(3)), r"init has shape \(2, 3\); \(3, 3\) is needed"),
        (ConstrainedKMeans(3).fit(np.eye(4)), r"init has shape \(3, 4\); \(3, 3\) is needed"),
        ((np.eye(3), [0.0, 0.1]), r"init has prices of shape \(2,\) for 3 centers"),
        ((np.eye(3), [0.0, np.nan, 0.1]), "NaN"),
        (GridSearchCV(ConstrainedKMeans(), {}), "'init' parameter"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_no_start_is_refused(init, message):
    for learn in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(ConstrainedKMeans(3, init=init), learn)(np.eye(3))


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_that_want_a_gradient_are_taken_as_centers_and_prices(kind):
    rows = lumps(300)
    centers, prices = (torch.tensor(each, dtype=kind, requires_grad=True) for each in (rows[:4], np.zeros(4)))
    for init in (centers, (centers, prices)):
        plain = (
            tuple(each.detach().double().numpy() for each in init) if isinstance(init, tuple) else init.detach().double().numpy()
        )
        found, wanted = (ConstrainedKMeans(4, init=each, random_state=0).fit(rows) for each in (init, plain))
        assert np.array_equal(found.labels_, wanted.labels_)
