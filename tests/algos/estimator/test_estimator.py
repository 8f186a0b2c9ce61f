"""The scikit-learn estimator: its contract, the core underneath, units, minimum sizes, and the sentence of each error."""

from __future__ import annotations

import math
import pickle
import re
import warnings

import numpy as np
import pytest
import scipy.sparse
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils._param_validation import Interval
from sklearn.utils.estimator_checks import check_estimator

from algos.estimator.estimator import ConstrainedKMeans
from algos.estimator.parameters import PARAMETERS
from algos.kmeans import constrained_kmeans as core
from algos.kmeans.passes import PATIENCE
from tests.helpers.inputs.oracle import best_total
from tests.helpers.places import ROOT

# Of scikit-learn's checks, those that fail for a reason. The first fits tables of small random integers, some of them zeros.
ZERO_ROWS = {"check_estimators_dtypes": "fits rows of zeros, which cosine geometry refuses"}
ORDER = {"check_sample_weight_equivalence_on_dense_data": "repeated rows come in another order, in other batches"}
NO_WEIGHTS = {"check_sample_weights_not_overwritten": "exact takes no weights above 0 that differ"}


def skewed(rows: int = 600, dim: int = 5, seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    """Three lumps holding 90, 7 and 3 per cent of the rows."""
    random = np.random.default_rng(seed)
    lumps = random.choice(3, size=rows, p=[0.9, 0.07, 0.03])
    return (3 * np.eye(3, dim)[lumps] + random.normal(size=(rows, dim))).astype(dtype)


@pytest.mark.parametrize(
    ("metric", "exact"),
    [
        ("cosine", False),
        pytest.param("cosine", True, marks=pytest.mark.job),
        pytest.param("euclidean", True, marks=pytest.mark.job),
    ],
)
def test_scikit_learns_own_checks_pass(metric, exact):
    expected = ORDER | (ZERO_ROWS if metric == "cosine" else {}) | (NO_WEIGHTS if exact else {})
    results = check_estimator(ConstrainedKMeans(metric=metric, exact=exact), expected_failed_checks=expected, on_skip=None)
    failed = {each["check_name"] for each in results if each["status"] == "xfail"}
    assert failed == set(expected)  # an exception that no longer fails must go from the list


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predict_on_the_same_rows_gives_the_labels(metric, exact, dtype):
    rows = skewed(dtype=dtype)
    kmeans = ConstrainedKMeans(6, min_size_ratio=0.9, metric=metric, exact=exact, random_state=0).fit(rows)
    assert (kmeans.predict(rows) == kmeans.labels_).all()
    assert kmeans.duals_.max() > 0  # prices play a part, so leaving them out would fail
    assert kmeans.counts_.tolist() == np.bincount(kmeans.labels_, minlength=6).tolist()
    assert kmeans.score(rows) == pytest.approx(kmeans.objective_, rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_kept(dtype):
    rows = skewed(dtype=dtype)
    kmeans = ConstrainedKMeans(4, random_state=0).fit(rows)
    assert kmeans.cluster_centers_.dtype == kmeans.transform(rows).dtype == dtype
    assert kmeans.labels_.dtype == np.int32


def test_euclidean_by_hand():
    rows = np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]])
    kmeans = ConstrainedKMeans(2, metric="euclidean", min_size_ratio=0.0, init=[[1.0, 1.0], [9.0, 1.0]], max_iter=50).fit(rows)
    assert kmeans.labels_.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(kmeans.cluster_centers_, [[0, 1], [10, 1]], atol=0.05)
    assert kmeans.objective_ == pytest.approx(-2.0, abs=0.05)  # half of four squared distances of 1
    np.testing.assert_allclose(kmeans.transform([[0.0, 1.0]]), [[0, 10]], atol=0.1)
    assert kmeans.get_feature_names_out().tolist() == ["constrainedkmeans0", "constrainedkmeans1"]


def test_cosine_ignores_length():
    rows = np.array([[1e-30, 0.0], [5.0, 0.5], [0.0, 1e30], [0.5, 5.0]], dtype=np.float32)
    kmeans = ConstrainedKMeans(2, min_size_ratio=0.0, init=[[3.0, 0.0], [0.0, 9.0]]).fit(rows)
    assert kmeans.labels_.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(np.linalg.norm(kmeans.cluster_centers_, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(kmeans.transform(kmeans.cluster_centers_ * 7).diagonal(), 0, atol=1e-6)


@pytest.mark.parametrize("exact", [False, True])
def test_euclidean_labels_do_not_depend_on_scale_and_shift(exact):
    rows = skewed(dtype=np.float64)
    first, second = (
        ConstrainedKMeans(6, metric="euclidean", min_size_ratio=0.9, exact=exact, random_state=0).fit(data)
        for data in (rows, 1000 * rows - 5000)
    )
    assert (first.labels_ == second.labels_).all()
    np.testing.assert_allclose(first.duals_ * 1e6, second.duals_, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(first.cluster_centers_ * 1000 - 5000, second.cluster_centers_, rtol=1e-8)
    assert first.objective_ * 1e6 == pytest.approx(second.objective_)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_partial_fit_is_the_core_on_the_same_batches(metric):
    rows = skewed(dtype=np.float64)
    start = rows[[0, 100, 200, 300]]
    kmeans = ConstrainedKMeans(4, metric=metric, dual_lr=0.5, init=start)
    # Euclidean rows are taken in units of the first batch's spread around its mean.
    origin = rows[:100].mean(axis=0)
    scale = np.sqrt(((rows[:100] - origin) ** 2).sum(axis=1).mean())

    def prepared(data: np.ndarray) -> torch.Tensor:
        return F.normalize(torch.tensor(data), dim=1) if metric == "cosine" else torch.tensor((data - origin) / scale)

    alone = core.OnlineConstrainedKMeans(
        [4], 5, dual_lr=0.5, dtype=torch.float64, initial_centers=prepared(start), spherical=metric == "cosine"
    )
    for batch in np.split(rows, 6):
        labels = alone.partial_fit(prepared(batch))[0]
        assert (kmeans.partial_fit(batch).labels_ == labels.numpy()).all()
    unit, shift = (1.0, 0.0) if metric == "cosine" else (scale, origin)
    np.testing.assert_allclose(kmeans.cluster_centers_, alone.centers.numpy() * unit + shift, atol=1e-12)
    np.testing.assert_allclose(kmeans.duals_, alone.duals.numpy() * unit**2, atol=1e-12)
    assert kmeans.counts_.tolist() == alone.counts.tolist()
    assert kmeans.n_steps_ == 6


def test_the_default_step_of_a_stream_falls_with_the_batches_seen():
    kmeans = ConstrainedKMeans(3, min_size_ratio=0.5, random_state=0)
    steps = [float(kmeans.partial_fit(skewed(30, seed=t))._core.dual_lr[0]) for t in range(40)]
    assert steps[:20] == pytest.approx([3 / (0.5 * 20)] * 20)
    assert steps[39] == pytest.approx(3 / (0.5 * 40))


def test_a_stream_goes_on_after_fit():
    kmeans = ConstrainedKMeans(3, random_state=0).fit(skewed())
    before, counts = kmeans.cluster_centers_, kmeans.counts_
    kmeans.partial_fit(skewed(30, seed=1))
    assert kmeans.counts_.sum() == counts.sum() + 30
    assert 0 < np.abs(kmeans.cluster_centers_ - before).max() < 0.6


def test_a_stream_goes_on_from_the_exact_prices():
    kmeans = ConstrainedKMeans(6, min_size_ratio=0.9, exact=True, random_state=0).fit(skewed(dtype=np.float64))
    batch = skewed(100, seed=1, dtype=np.float64)
    expected = kmeans.predict(batch)
    assert (kmeans.partial_fit(batch).labels_ == expected).all()


def test_steps_fall_with_the_passes_so_that_sizes_settle():
    rows = load_digits().data
    kmeans = ConstrainedKMeans(40, dual_lr=8.0, max_iter=4, tol=0.0, random_state=0).fit(rows)
    assert float(kmeans._core.dual_lr[0]) == pytest.approx(2.0)
    settled = ConstrainedKMeans(40, random_state=0).fit(rows)
    assert (settled.min_size_ - settled.counts_).clip(min=0).sum() <= 10  # some 200 at a constant step


def test_a_pass_starts_from_a_tenth_of_the_rows_before():
    kmeans = ConstrainedKMeans(3, max_iter=1, random_state=0).fit(skewed())
    assert kmeans._core.counts.tolist() == (kmeans.pass_counts_ // 10).tolist()
    twice = ConstrainedKMeans(3, max_iter=2, tol=0.0, random_state=0).fit(skewed())
    assert twice.pass_counts_.sum() == 600


def test_the_last_pass_has_a_certificate():
    rows = skewed()
    kmeans = ConstrainedKMeans(6, min_size_ratio=0.9, random_state=0).fit(rows)
    assert kmeans.pass_counts_.sum() == len(rows)
    assert kmeans.certificate_slack_ >= -1e-2
    assert kmeans.min_size_ == 90


def exact_optimum(kmeans: ConstrainedKMeans, rows: np.ndarray) -> float:
    """The assignment program at the estimator's centers, in its objective."""
    if kmeans.metric == "cosine":
        table = rows @ kmeans.cluster_centers_.T / np.linalg.norm(rows, axis=1, keepdims=True)
    else:
        table = -((rows[:, None] - kmeans.cluster_centers_) ** 2).sum(axis=2) / 2
    return best_total(table, kmeans.min_size_, min(kmeans.max_size_, len(rows)))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("ratio", [0.3, 0.8, 1.0])
def test_exact_is_the_optimum_at_its_centers(metric, ratio):
    rows = skewed(121, dtype=np.float64)
    kmeans = ConstrainedKMeans(5, min_size_ratio=ratio, metric=metric, exact=True, random_state=1).fit(rows)
    assert kmeans.counts_.min() >= kmeans.min_size_ >= 1
    assert kmeans.objective_ == pytest.approx(exact_optimum(kmeans, rows), rel=1e-8)
    assert 0 <= kmeans.optimality_gap_ < 1e-8
    plain = ConstrainedKMeans(5, min_size_ratio=ratio, metric=metric, random_state=1).fit(rows)
    assert plain.objective_ - kmeans.objective_ == pytest.approx(kmeans.repair_cost_, abs=1e-8)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("least", "most"), [(0.0, 1.2), (0.4, 2.0), (0.8, 1.3), (1.0, 1.0)])
def test_exact_keeps_both_bounds_at_the_optimum_of_its_centers(metric, least, most):
    rows = skewed(121, dtype=np.float64)
    kmeans = ConstrainedKMeans(
        5, min_size_ratio=least, max_size_ratio=most, metric=metric, exact=True, dual_lr=0.05, random_state=1
    ).fit(rows)
    assert kmeans.min_size_ <= kmeans.counts_.min()
    assert kmeans.counts_.max() <= kmeans.max_size_ < math.inf
    assert kmeans.objective_ == pytest.approx(exact_optimum(kmeans, rows), rel=1e-8)
    assert 0 <= kmeans.optimality_gap_ < 1e-8
    assert (kmeans.predict(rows) == kmeans.labels_).all()


def test_rows_that_weigh_nothing_beside_others_are_no_rows_for_clusters():
    weights = np.r_[1e300, np.ones(99)]
    with pytest.raises(ValueError, match=r"n_samples=1 should be >= n_clusters=3; of 100 rows the others weigh 0, or nothing"):
        ConstrainedKMeans(3).fit(skewed(100), sample_weight=weights)


def test_the_largest_cluster_shrinks_to_its_maximum_and_both_certificates_hold():
    rows = skewed(2000)
    free = ConstrainedKMeans(8, random_state=0).fit(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans = ConstrainedKMeans(8, max_size_ratio=1.2, random_state=0).fit(rows)
    assert free.counts_.max() > 330  # so the maximum of 300 binds
    assert kmeans.counts_.max() < 1.1 * 300
    assert kmeans.duals_.min() < 0
    assert kmeans.certificate_slack_ >= -1e-2
    assert kmeans.certificate_slack_above_ >= -1e-2
    assert (free.max_size_, free.certificate_slack_above_) == (math.inf, math.inf)


@pytest.mark.parametrize("most", [{"max_size_ratio": 1e300}, {"max_cluster_size": 1e300}, {"max_size_ratio": 1 << 70}])
def test_a_maximum_beyond_all_rows_bounds_nothing(most):
    free, bounded = (ConstrainedKMeans(4, random_state=0, **given).fit(skewed()) for given in ({}, most))
    assert (bounded.labels_ == free.labels_).all()
    assert bounded.objective_ == free.objective_


def test_a_maximum_in_weight_bounds_the_weight():
    rows = skewed(1000, dtype=np.float64)
    weights = np.where(np.arange(1000) % 2, 0.5, 1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans = ConstrainedKMeans(4, max_cluster_size=300, random_state=0).fit(rows, sample_weight=weights)
    assert kmeans.max_size_ == 300
    assert kmeans.counts_.sum() == pytest.approx(1000)
    assert kmeans.counts_.max() < 1.1 * 300
    with pytest.warns(ConvergenceWarning, match=r"largest cluster has [\d.]+ and the maximum is 260, which \d of 4 exceed"):
        ConstrainedKMeans(4, max_cluster_size=260, max_iter=1, random_state=0).fit(rows, sample_weight=weights)


def test_real_digits_keep_a_minimum_in_rows():
    rows = load_digits().data
    kmeans = ConstrainedKMeans(20, min_cluster_size=60, exact=True, random_state=0).fit(rows)
    assert kmeans.counts_.min() == kmeans.min_size_ == 60
    free = ConstrainedKMeans(20, min_size_ratio=0.0, random_state=0).fit(rows)
    assert free.counts_.min() < 60  # so the minimum binds
    assert kmeans.objective_ > 0.98 * free.objective_


def weighted(rows: np.ndarray) -> np.ndarray:
    """Weights by which the rare lumps of `skewed` weigh as much as the common one."""
    return np.where(rows[:, 0] > 1.5, 0.25, 4.0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("init", ["random", "k-means++"])
def test_rows_without_weight_are_labelled_and_not_learned(metric, init):
    rows = skewed()
    far = np.full((50, 5), -20, np.float32)
    weights = weighted(rows)
    kmeans = ConstrainedKMeans(4, metric=metric, init=init, random_state=0)
    alone = clone(kmeans).fit(rows, sample_weight=weights)
    kmeans.fit(np.vstack([rows, far]), sample_weight=np.concatenate([weights, np.zeros(50)]))
    assert (kmeans.labels_[:600] == alone.labels_).all()
    assert kmeans.objective_ == pytest.approx(alone.objective_, rel=1e-12)
    for learned in ("cluster_centers_", "duals_", "counts_", "pass_counts_"):
        assert (getattr(kmeans, learned) == getattr(alone, learned)).all()


def test_minimum_and_objective_are_in_units_of_the_weights():
    rows = skewed()
    light = ConstrainedKMeans(4, min_size_ratio=0.8, random_state=0).fit(rows, sample_weight=weighted(rows))
    heavy = clone(light).fit(rows, sample_weight=8 * weighted(rows))
    assert (light.labels_ == heavy.labels_).all()
    assert light.min_size_ == pytest.approx(0.8 * weighted(rows).sum() / 4)
    for figure in ("min_size_", "objective_", "pass_counts_", "counts_", "certificate_slack_"):
        assert getattr(heavy, figure) == pytest.approx(8 * getattr(light, figure))
    assert light.counts_ == pytest.approx(np.bincount(light.labels_, weighted(rows)))
    assert light.score(rows, sample_weight=weighted(rows)) == pytest.approx(light.objective_, rel=1e-5)
    in_weight = clone(light).set_params(min_size_ratio=0.4, min_cluster_size=100).fit(rows, sample_weight=weighted(rows))
    assert in_weight.min_size_ == 100


def test_the_minimum_is_one_of_weight():
    rows, weights = skewed(3000), weighted(skewed(3000))
    kmeans = ConstrainedKMeans(6, min_size_ratio=0.9, random_state=0).fit(rows, sample_weight=weights)
    plain = clone(kmeans).fit(rows)
    assert kmeans.counts_.min() > 0.9 * kmeans.min_size_
    assert np.bincount(plain.labels_, weights, minlength=6).min() < 0.75 * kmeans.min_size_
    assert np.bincount(kmeans.labels_, minlength=6).min() < 0.75 * plain.min_size_


def test_a_single_weighted_cluster_has_the_weighted_mean():
    rows, weights = skewed(dtype=np.float64), weighted(skewed())
    kmeans = ConstrainedKMeans(1, metric="euclidean", random_state=0).fit(rows, sample_weight=weights)
    np.testing.assert_allclose(kmeans.cluster_centers_[0], np.average(rows, axis=0, weights=weights), rtol=1e-9)
    squares = (weights[:, None] * (rows - kmeans.cluster_centers_) ** 2).sum()
    assert kmeans.objective_ == pytest.approx(-squares / 2)


def test_weights_in_a_stream_count_as_repeated_rows():
    rows, times = skewed(40, dtype=np.float64), np.arange(40) % 3
    kmeans = ConstrainedKMeans(3, init=rows[[1, 2, 4]], min_size_ratio=0.9)
    once, again = clone(kmeans), clone(kmeans)
    for _ in range(5):
        once.partial_fit(rows, sample_weight=times)
        again.partial_fit(rows.repeat(times, axis=0))
    assert once.counts_.tolist() == again.counts_.tolist()
    np.testing.assert_allclose(once.cluster_centers_, again.cluster_centers_, rtol=1e-12)
    np.testing.assert_allclose(once.duals_, again.duals_, atol=1e-12)


@pytest.mark.parametrize(
    ("metric", "far", "price", "said"),
    [
        ("cosine", 1.0, 1e39, r"init has prices up to 1e\+39, more than torch.float32 holds"),
        ("euclidean", 1.0, -1e300, r"init has prices up to 1e\+300, more than torch.float32 holds"),
        ("euclidean", 1e25, 0.0, "row 1 of init lies so far out that torch.float32 does not hold its square"),
    ],
)
def test_clusters_to_start_from_that_the_rows_precision_does_not_hold_are_refused(metric, far, price, said):
    rows = skewed(40)
    centers = rows[:3].astype(np.float64) * [[1], [far], [1]]
    with pytest.raises(ValueError, match=said):
        ConstrainedKMeans(3, metric=metric, init=(centers, [0.0, price, 0.0])).fit(rows)


def test_a_batch_of_a_stream_whose_rows_count_for_nothing_gets_labels_and_teaches_nothing():
    rows, nothing = skewed(40, dtype=np.float64), np.zeros(40)
    kmeans = ConstrainedKMeans(3, init=rows[[1, 2, 4]]).partial_fit(rows)
    expected, centers, duals = kmeans.predict(rows), kmeans.cluster_centers_, kmeans.duals_
    assert (kmeans.partial_fit(rows, sample_weight=nothing).labels_ == expected).all()
    np.testing.assert_array_equal(kmeans.cluster_centers_, centers)
    np.testing.assert_array_equal(kmeans.duals_, duals)
    assert kmeans.counts_.sum() == 40
    assert kmeans.score(rows, sample_weight=nothing) == 0


def test_prices_rise_where_weight_is_lacking_however_it_falls_into_batches():
    light, heavy = np.tile([1.0, 0.0], (2000, 1)), np.tile([0.0, 1.0], (10, 1))  # of weight 2,000 and 10,000
    turned = np.random.default_rng(0).normal(scale=0.3, size=(2010, 2))
    rows, weights = np.vstack([light, heavy]) + turned, np.r_[np.ones(2000), np.full(10, 1000.0)]
    kmeans = ConstrainedKMeans(2, min_size_ratio=0.9, init=[[1, 0], [0, 1]], max_iter=1, dual_lr=0.1, random_state=0)
    kmeans.fit(rows, sample_weight=weights)
    given, minimum = kmeans.pass_counts_, kmeans.min_size_
    assert given[0] < minimum < given[1]
    assert kmeans.duals_[0] > 10 * kmeans.duals_[1]
    batch = weights.sum() / 20
    slack = (batch / 0.1 * kmeans.duals_ - (minimum - given)).min()
    assert kmeans.certificate_slack_ == pytest.approx(slack, abs=1e-3)
    assert slack >= -1e-3


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("exact", [False, True])
def test_weights_that_are_alike_change_units_only(metric, exact):
    rows = skewed()
    plain = ConstrainedKMeans(7, metric=metric, exact=exact, random_state=0).fit(rows)
    threefold = clone(plain).fit(rows, sample_weight=np.full(600, 3.0))
    assert (threefold.labels_ == plain.labels_).all()
    for figure in ("min_size_", "objective_", "pass_counts_", "counts_", *(["repair_cost_"] if exact else [])):
        assert getattr(threefold, figure) == pytest.approx(3 * getattr(plain, figure), rel=1e-5), figure


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("exact", [False, True])
def test_a_mask_is_the_table_without_the_masked_rows(exact, metric):
    rows = skewed()
    plain = ConstrainedKMeans(7, min_size_ratio=1, metric=metric, exact=exact, random_state=0).fit(rows[:500])
    masked = clone(plain).fit(rows, sample_weight=np.arange(600) < 500)
    assert (masked.labels_[:500] == plain.labels_).all()
    assert (masked.labels_[500:] == plain.predict(rows[500:])).all()
    assert masked.counts_.tolist() == plain.counts_.tolist()
    assert masked.objective_ == pytest.approx(plain.objective_)


def test_rows_of_next_to_no_weight_do_no_harm():
    rows, far = skewed(), np.random.default_rng(0).normal(scale=1e4, size=(20, 5)).astype(np.float32)
    both, weights = np.vstack([rows, far]), np.r_[np.ones(600), np.full(20, 1e-8)]  # heavy enough not to be left out
    kmeans = ConstrainedKMeans(6, metric="euclidean", random_state=0).fit(both, sample_weight=weights)
    assert kmeans.counts_.min() > 0.5 * kmeans.min_size_
    assert kmeans._geometry.scale == pytest.approx(ConstrainedKMeans(6, metric="euclidean").fit(rows)._geometry.scale, rel=0.1)
    kernel = np.exp(-((rows - rows[0]) ** 2).sum(axis=1))  # of which many vanish
    near = ConstrainedKMeans(3, random_state=0).fit(rows, sample_weight=kernel + 1e-12)
    assert np.isfinite(near.duals_).all()
    np.testing.assert_allclose(np.linalg.norm(near.cluster_centers_, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1.5, 1e3])
def test_a_stream_goes_on_after_a_weighted_fit_in_any_unit(unit):
    rows, more = skewed(dtype=np.float64), skewed(100, seed=1, dtype=np.float64)
    one, other = (
        ConstrainedKMeans(3, init=rows[:3], max_iter=2, random_state=0).fit(rows, sample_weight=each * weighted(rows))
        for each in (1, unit)
    )
    for _ in range(3):
        one.partial_fit(more, sample_weight=weighted(more))
        other.partial_fit(more, sample_weight=unit * weighted(more))
    np.testing.assert_allclose(one.cluster_centers_, other.cluster_centers_, atol=1e-9)
    np.testing.assert_allclose(one.duals_, other.duals_, atol=1e-9)


def test_a_minimum_in_weight_may_be_a_fraction():
    rows = skewed(7)
    assert ConstrainedKMeans(1, min_cluster_size=1).fit(rows, sample_weight=np.full(7, 1 / 7)).min_size_ == pytest.approx(1)
    assert ConstrainedKMeans(2, min_cluster_size=0.25).fit(rows, sample_weight=np.full(7, 1 / 7)).min_size_ == pytest.approx(
        2 / 7
    )
    assert ConstrainedKMeans(2, min_cluster_size=2.5).fit(rows).min_size_ == 3


def test_what_weights_cannot_do():
    rows = skewed(30)
    with pytest.raises(ValueError, match="exact=True moves rows that count alike; give weights of 0 and one other number, or"):
        ConstrainedKMeans(3, exact=True).fit(rows, sample_weight=np.arange(30))
    with pytest.raises(ValueError, match=r"3 clusters of at least 11 weight need 33; X has 30\.5"):
        ConstrainedKMeans(3, min_cluster_size=11).fit(rows, sample_weight=np.r_[np.ones(29), 1.5])
    with pytest.raises(ValueError, match="n_samples=2 should be >= n_clusters=3"):
        ConstrainedKMeans(3).fit(rows, sample_weight=np.r_[np.ones(2), np.zeros(28)])


@pytest.mark.parametrize("init", ["random", "k-means++"])
def test_random_state_repeats_a_fit(init):
    rows = skewed()
    first, second, other = (ConstrainedKMeans(6, init=init, random_state=seed).fit(rows) for seed in (3, 3, 4))
    assert (first.cluster_centers_ == second.cluster_centers_).all()
    assert (first.cluster_centers_ != other.cluster_centers_).any()


def test_pickle_and_clone():
    rows = skewed()
    kmeans = ConstrainedKMeans(4, min_size_ratio=0.7, exact=True, random_state=0).fit(rows)
    assert (pickle.loads(pickle.dumps(kmeans)).predict(rows) == kmeans.labels_).all()
    copy = clone(kmeans)
    assert copy.get_params() == kmeans.get_params()
    assert not hasattr(copy, "labels_")


def test_tensors_are_taken_and_arrays_given_back():
    rows = skewed()
    from_array = ConstrainedKMeans(4, random_state=0).fit(rows)
    from_tensor = ConstrainedKMeans(4, random_state=0).fit(torch.from_numpy(rows).requires_grad_())
    assert isinstance(from_tensor.cluster_centers_, np.ndarray)
    assert (from_array.labels_ == from_tensor.labels_).all()
    half = ConstrainedKMeans(4, random_state=0).fit(torch.from_numpy(rows).bfloat16())
    assert half.cluster_centers_.dtype == np.float32


def test_a_wide_tolerance_stops_early_and_verbose_says_each_pass(capsys):
    kmeans = ConstrainedKMeans(3, tol=10.0, random_state=0, verbose=1).fit(skewed())
    assert kmeans.n_iter_ == 1 + PATIENCE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == kmeans.n_iter_
    assert re.fullmatch(r"pass 1: smallest cluster \d+ rows, minimum 80, mean similarity 0\.\d{5}", lines[0])
    assert ConstrainedKMeans(3, tol=0.0, max_iter=6, random_state=0).fit(np.ones((30, 2))).n_iter_ == 6


def test_passes_stop_when_they_gain_nothing():
    rows = load_digits().data
    stopped = ConstrainedKMeans(40, random_state=0).fit(rows)
    assert 1 + PATIENCE < stopped.n_iter_ < 20
    assert stopped.objective_ >= 0.998 * ConstrainedKMeans(40, tol=0.0, random_state=0).fit(rows).objective_


@pytest.mark.parametrize(("batch_size", "batches"), [(100, 60), ("auto", 24), (5000, 20)])
def test_batch_sizes(batch_size, batches):
    kmeans = ConstrainedKMeans(3, batch_size=batch_size, max_iter=1, random_state=0).fit(skewed(6000))
    assert kmeans.n_steps_ == batches


@pytest.mark.parametrize(
    ("settings", "rows", "message"),
    [
        ({}, np.full((9, 2), np.nan), "NaN"),
        ({}, np.full((9, 2), np.inf), "infinity"),
        ({"n_clusters": 5}, np.ones((4, 2)), "n_samples=4 should be >= n_clusters=5"),
        ({"min_cluster_size": 4}, np.ones((11, 2)), "3 clusters of at least 4 rows need 12; X has 11"),
        ({"min_cluster_size": 2, "min_size_ratio": 0.5}, np.ones((9, 2)), "give one of them"),
        ({}, np.array([[1.0, 0], [0, 1], [0, 0], [1, 1]]), "row 2 has no direction: it is all zeros"),
        ({"init": np.zeros((2, 2))}, np.ones((9, 2)), r"init has shape \(2, 2\); \(3, 2\) is needed"),
        ({"init": [[1.0, 0], [0, 0], [0, 1]]}, np.ones((9, 2)), "row 1 of init has no direction"),
        ({"min_size_ratio": 1.5}, np.ones((9, 2)), "'min_size_ratio' parameter"),
        ({"metric": "manhattan"}, np.ones((9, 2)), "'metric' parameter"),
        ({"dual_lr": 0.0}, np.ones((9, 2)), "'dual_lr' parameter"),
        ({"dual_lr": 1e31}, np.ones((9, 2)), "'dual_lr' parameter"),  # prices would leave float32
        *(
            ({name: True}, np.ones((9, 2)), f"{name} is True; give a number")
            for name, kinds in PARAMETERS.items()
            if isinstance(kinds[0], Interval)
        ),
    ],
)
def test_errors_say_what_is_wrong(settings, rows, message):
    with pytest.raises(ValueError, match=message):
        ConstrainedKMeans(**({"n_clusters": 3} | settings)).fit(rows)


def test_a_stream_refuses_what_it_cannot_know():
    with pytest.raises(ValueError, match="set min_size_ratio"):
        ConstrainedKMeans(3, min_cluster_size=2).partial_fit(skewed(30))
    with pytest.raises(ValueError, match="n_samples=2 should be >= n_clusters=3"):
        ConstrainedKMeans(3).partial_fit(skewed(2))


def test_euclidean_takes_rows_of_zeros():
    rows = np.vstack([np.zeros((10, 2)), np.ones((10, 2))])
    labels = ConstrainedKMeans(2, metric="euclidean", init="k-means++", random_state=0).fit_predict(rows)
    assert len(set(labels[:10])) == len(set(labels[10:])) == 1
    assert labels[0] != labels[-1]


def lumps(rows: int = 400, dtype: type = np.float64) -> np.ndarray:
    """Five lumps of about the same size."""
    random = np.random.default_rng(0)
    return (random.normal(size=(rows, 5)) + 3 * np.eye(5)[random.integers(5, size=rows)]).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("value", [100.0, 999.0, -1e12, 1e30])
def test_one_row_far_out_changes_nothing_for_the_others(dtype, exact, value):
    rows = lumps(dtype=dtype)
    rows[0] = value
    kmeans = ConstrainedKMeans(5, metric="euclidean", exact=exact, random_state=0)
    with pytest.warns(UserWarning, match=r"1 of 400 rows \(0\) lie far from the others"):
        kmeans.fit(rows)
    alone = clone(kmeans).fit(rows[1:])
    assert kmeans.outliers_.tolist() == [0]
    assert (kmeans.labels_[1:] == alone.labels_).all()
    assert kmeans.counts_.min() >= kmeans.min_size_ == 32
    assert (kmeans.cluster_centers_ == alone.cluster_centers_).all()
    assert (kmeans.predict(rows) == kmeans.labels_).all()
    assert kmeans.transform(rows[:1])[0] == pytest.approx(5**0.5 * abs(value), rel=0.1)
    assert alone.outliers_.tolist() == []


def test_the_certificate_holds_where_heavy_rows_are_left_out():
    rows, weights = lumps(), np.r_[9.0, 9.0, np.random.default_rng(0).uniform(0.5, 1.5, size=398)]
    rows[:2] = 999
    kmeans = ConstrainedKMeans(5, metric="euclidean", min_size_ratio=0.8, max_iter=1, dual_lr=0.1, random_state=0)
    with pytest.warns(UserWarning, match=r"2 of 400 rows \(0, 1\) lie far"):
        kmeans.fit(rows, sample_weight=weights)
    learned = weights[2:].sum()
    assert kmeans.pass_counts_.sum() == pytest.approx(learned)
    risen = kmeans.duals_ / kmeans._geometry.scale**2
    slack = (learned / 20 / 0.1 * risen - (0.8 * learned / 5 - kmeans.pass_counts_)).min()
    assert kmeans.certificate_slack_ == pytest.approx(slack, abs=1e-6)
    assert slack >= -1e-6


def test_a_far_lump_as_large_as_a_cluster_is_one():
    rows = lumps()
    rows[:60] = 999 + 0.1 * rows[:60]
    kmeans = ConstrainedKMeans(5, metric="euclidean", random_state=0).fit(rows)
    assert set(kmeans.labels_[:60]).isdisjoint(kmeans.labels_[60:])
    assert kmeans.counts_.min() >= kmeans.min_size_ == 32


def test_a_streams_first_batch_may_have_a_row_far_out():
    rows = lumps()
    rows[0] = 999
    with pytest.warns(UserWarning, match=r"1 of 400 rows \(0\) lie far"):
        kmeans = ConstrainedKMeans(5, metric="euclidean", random_state=0).partial_fit(rows)
    assert kmeans.counts_.sum() == 400
    assert kmeans.counts_.min() > 20
    assert np.abs(kmeans.cluster_centers_).max() < 10


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("init", ["random", "k-means++"])
def test_more_clusters_than_distinct_rows_are_said(metric, init):
    rows = np.repeat(np.eye(4), 25, axis=0)
    kmeans = ConstrainedKMeans(8, metric=metric, init=init, random_state=0)
    with pytest.warns(
        ConvergenceWarning, match="smallest cluster has 0 and the minimum is 5, .*X has 4 distinct rows for n_clusters=8"
    ):
        kmeans.fit(rows)
    with pytest.warns(ConvergenceWarning, match="X has 4 distinct rows for n_clusters=8, so 4 are empty"):
        clone(kmeans).set_params(min_size_ratio=0.0, init="k-means++").fit(rows)
    with pytest.warns(ConvergenceWarning, match=r"gave \d distinct centers for n_clusters=8"):
        clone(kmeans).partial_fit(rows)
    assert clone(kmeans).set_params(exact=True).fit(rows).counts_.min() == 5


def test_a_missed_minimum_is_said_and_a_kept_one_is_not():
    with pytest.warns(ConvergenceWarning, match=r"smallest cluster has \d+ and the minimum is 60, .*set exact=True"):
        ConstrainedKMeans(4, random_state=0).fit(skewed())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ConstrainedKMeans(4, exact=True, random_state=0).fit(skewed())
        ConstrainedKMeans(5, metric="euclidean", random_state=0).fit(lumps())


def test_a_stream_that_starves_a_cluster_says_so_every_twenty_batches():
    kmeans = ConstrainedKMeans(2, min_size_ratio=0.8, init=[[1.0, 0.0], [0.0, 1.0]], dual_lr=1e-6)
    for _ in range(19):
        kmeans.partial_fit([[1.0, 0.0]] * 10)
    with pytest.warns(ConvergenceWarning, match="smallest cluster has 0 and the minimum is 80, which 1 of 2 miss; raise dual_lr"):
        kmeans.partial_fit([[1.0, 0.0]] * 10)


@pytest.mark.parametrize(
    ("name", "value"), [("n_clusters", 4), ("metric", "euclidean"), ("min_size_ratio", 0.9), ("dual_lr", 0.5)]
)
@pytest.mark.parametrize("first", ["fit", "partial_fit"])
def test_a_stream_keeps_its_settings(name, value, first):
    kmeans = ConstrainedKMeans(3, random_state=0)
    getattr(kmeans, first)(skewed())
    with pytest.raises(ValueError, match=f"{name} was .* when the stream began and is {value!r}; set it back"):
        kmeans.set_params(**{name: value}).partial_fit(skewed())
    assert kmeans.fit(skewed()).counts_.sum() == 600  # which begins anew


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_units_of_any_size_give_the_same_labels(dtype, factor):
    rows = lumps()
    plain, scaled = (ConstrainedKMeans(5, metric="euclidean", random_state=0).fit((f * rows).astype(dtype)) for f in (1, factor))
    assert (plain.labels_ == scaled.labels_).mean() > 0.99
    assert plain.objective_ * factor**2 == pytest.approx(scaled.objective_, rel=1e-3)
    assert np.isfinite(scaled.duals_).all()
    assert scaled.duals_.max() > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k, x: k.fit(torch.tensor(x).to_sparse()), TypeError, "give a dense one"),
        (lambda k, x: k.fit(scipy.sparse.csr_matrix(x)), TypeError, "dense data is required"),
        (lambda k, x: k.set_params(device="nowhere").fit(x), ValueError, "device nowhere cannot be used"),
        (lambda k, x: k.fit(x, sample_weight=np.full(len(x), 1e308)), ValueError, "sums to more than float64 holds"),
    ],
)
def test_input_that_torch_would_refuse_is_refused_in_words(call, error, message):
    with pytest.raises(error, match=message):
        call(ConstrainedKMeans(3), skewed())


def test_the_geometry_of_fit_holds_for_predict():
    kmeans = ConstrainedKMeans(3, random_state=0).fit(skewed()).set_params(metric="euclidean")
    with pytest.raises(ValueError, match="row 0 has no direction"):
        kmeans.predict(np.zeros((1, 5)))


def test_the_examples_of_the_page_run(capsys):
    page = ROOT / "docs" / "clustering.md"
    alone = page.read_text().split("## On a cluster")[0]  # what follows reads the files of a job
    examples = re.findall(r"```python\n(.*?)```", alone, flags=re.DOTALL)
    assert len(examples) == 5
    names: list[dict] = [{} for _ in examples]
    for example, scope in zip(examples, names, strict=True):
        exec(example, scope)
    assert capsys.readouterr().out.startswith("60 ")
    assert names[1]["kmeans"].counts_.max() <= names[1]["kmeans"].max_size_ == 179  # as the page says
    assert np.bincount(names[2]["labels"]).min() >= 15
    assert (names[3]["kmeans"].counts_ > 0.03 * 51_200).all()
    assert (names[4]["today"].labels_[:1500] == names[4]["yesterday"].labels_).mean() > 0.7


def test_a_first_fit_that_was_refused_leaves_it_unfitted():
    rows = skewed()
    kmeans = ConstrainedKMeans(4, init=rows[:3])
    with pytest.raises(ValueError, match="init has shape"):
        kmeans.fit(rows)
    for asked in (kmeans.predict, kmeans.transform, kmeans.score):
        with pytest.raises(NotFittedError):
            asked(rows)


def test_a_later_fit_that_was_refused_leaves_the_clusters_of_the_one_before():
    rows = skewed() + 3
    kmeans = ConstrainedKMeans(4, random_state=0).fit(rows)
    with pytest.raises(ValueError, match="init has shape"):
        kmeans.set_params(metric="euclidean", init=rows[:3]).fit(rows)
    assert np.array_equal(kmeans.predict(rows), kmeans.labels_)
