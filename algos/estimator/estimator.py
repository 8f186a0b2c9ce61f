"""Online constrained k-means as a scikit-learn estimator: clusters of bounded sizes from any table of rows.

The clustering itself is `algos.kmeans.constrained_kmeans`; here are scikit-learn's contract, passes over the data, and units. In
Euclidean geometry the core sees rows after a shift and a division by one number, so that a step of the duals means the
same whatever the data's scale. `exact=True` ends with `algos.exact.repair_sizes`.

Shapes: n rows (`n_samples`), D features, K clusters (`n_clusters`).
Source: Qian et al., "Unsupervised Visual Representation Learning by Online Constrained K-Means", CVPR 2022, section 3.2.
"""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from algos.estimator import shortfall
from algos.estimator.far_rows import far_rows
from algos.estimator.final_labels import bounded_labels, center_distances, nearest_labels
from algos.estimator.geometry import Geometry, initial_centers
from algos.estimator.given_clusters import GivenClusters
from algos.estimator.input_rows import Table, read_table
from algos.estimator.parameters import PARAMETERS, refuse_truths
from algos.estimator.wanted_sizes import DEFAULT_RATIO, Sizes, Wanted
from algos.kmeans import constrained_kmeans as core
from algos.kmeans.batches import LEAST_BATCHES, batch_rows
from algos.kmeans.passes import Passes, Settling

FIXED = ("n_clusters", "metric", "min_size_ratio", "max_size_ratio", "dual_lr")  # from the first batch of a stream on


class ConstrainedKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """K-means whose clusters keep a minimum size, and a maximum where one is set, online and without an n x K problem.

    Cosine geometry maximises the sum of x . c over directions x and unit centers c; Euclidean geometry minimises squared
    distances, as x . c - |c|^2 / 2. Either adds a price, the cluster's dual, that rises while the cluster lacks rows, and falls
    while it has more than its maximum.

    `labels_` is the argmax under the last centers and duals, the rule of `predict` too, so `predict(X)` on the rows of
    `fit` returns `labels_`; with `exact=True` apart from rows that tie, such as copies of one row.

    With `sample_weight` a row counts for its weight in centers, minimum and objective; one of weight 0 only gets a label.

    Args:
        n_clusters: K.
        min_size_ratio: a cluster's minimum as a share of the mean size n / K, in [0, 1]: 0 is plain k-means, 1 equal sizes.
        min_cluster_size: the minimum in rows, or in weight, instead; then leave `min_size_ratio` at its default. Not in
            `partial_fit`.
        max_size_ratio: a cluster's maximum as a ratio to the mean size, 1 or more; `None` for no maximum.
        max_cluster_size: the maximum in rows, or in weight, instead. Not in `partial_fit`.
        dual_lr: step size of the duals in the first pass, falling with 1 / pass; constant in `partial_fit`. In units of rows
            of length 1 (cosine) or root mean square 1 around their mean (Euclidean), so free of the data's scale. `None`
            takes `default_dual_lr` for the batches of a pass; in `partial_fit` for those so far, 20 at least.
        batch_size: most rows between two updates, of which a pass has 20 at least; 'auto' is n / 32 in [max(256, K), 8192].
        max_iter: most passes over the data.
        tol: stop when three passes in a row gained no more than this over the best one before, in mean similarity (units of
            `dual_lr`) less a penalty for rows that clusters lacked: the highest price for each. 0 makes all passes.
        metric: 'cosine' or 'euclidean'.
        init: 'k-means++' on a sample of 10 rows a cluster, 'random' rows, or an array (K, D). A fitted `ConstrainedKMeans`, or a
            tuple of centers (K, D) and prices (K,) as `duals_` has them, is gone on with: clusters keep their numbers, and rows
            that are as they were their labels, all but a few.
        exact: whether `fit` ends with the best labels for its centers that really keep both bounds. Not with weights
            that differ, but for 0.
        device: where to compute; `None` takes that of a tensor, else the CPU. Results are numpy arrays in any case.
        random_state: of the initial centers and the order of rows.
        verbose: 1 prints a line a pass.

    Attributes:
        cluster_centers_: (K, D) in the data's dtype; unit vectors in cosine geometry.
        labels_: (n,) int32 cluster of each row of the last `fit` or `partial_fit`.
        duals_: (K,) float64 the prices, in similarities: of unit rows, or in half squared distances of the data; below zero
            where a maximum holds rows off.
        counts_: (K,) int64 rows of each cluster in `labels_`; after `partial_fit` all rows given to it in the stream. With
            weights their sums, float64, here and below.
        min_size_: the minimum in rows that `fit` aimed at.
        max_size_: the maximum likewise; infinity without one.
        pass_counts_: (K,) int64 rows given to each cluster during the last pass, to which the certificate applies.
        outliers_: places of rows, in Euclidean geometry, that lie far from the others (ten times their root mean square distance)
            and are too few for a cluster of the minimum size: `fit`, or a stream's first batch, did not learn from them.
        certificate_slack_: margin of the minimum's certificate in that pass, in rows; never below zero but by rounding.
        certificate_slack_above_: the same of the maximum; infinity without one.
        objective_: sum of similarities x . c, or -1/2 sum of squared distances, of `labels_`.
        n_iter_: passes made; `n_steps_` counts batches, also those of `partial_fit`.
        repair_cost_: with `exact`, objective given up against the labels before the repair; may be negative.
        optimality_gap_: with `exact`, bound on what other labels within these bounds could gain at these centers.
        repair_moves_: with `exact`, rows moved one at a time.
    """

    counts_: NDArray[Any]
    _steps_before = 0  # batches of a stream that made the clusters it started from

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**PARAMETERS}

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        min_size_ratio: float = DEFAULT_RATIO,
        min_cluster_size: float | None = None,
        max_size_ratio: float | None = None,
        max_cluster_size: float | None = None,
        dual_lr: float | None = None,
        batch_size: int | str = 1024,
        max_iter: int = 20,
        tol: float = 1e-4,
        metric: str = "cosine",
        init: str | ArrayLike = "k-means++",
        exact: bool = False,
        device: str | torch.device | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.min_size_ratio = min_size_ratio
        self.min_cluster_size = min_cluster_size
        self.max_size_ratio = max_size_ratio
        self.max_cluster_size = max_cluster_size
        self.dual_lr = dual_lr
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.metric = metric
        self.init = init
        self.exact = exact
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike | Tensor, y: object = None, sample_weight: ArrayLike | None = None) -> ConstrainedKMeans:
        """Cluster rows (n, D) in passes of mini-batches.

        Args:
            X: (n, D) array or tensor; float32 and float64 are kept, half precision becomes float32, other types float64.
            y: ignored.
            sample_weight: (n,) what each row counts for; `None` for 1.

        Returns:
            The estimator.

        Raises:
            ValueError: for impossible parameters or data, each named in the message: fewer rows than clusters, bounds that
                n rows cannot keep, rows that are not finite, rows without a direction in cosine geometry, weights above 0
                that differ with `exact`.

        Warns:
            ConvergenceWarning: where `labels_` leave a cluster outside its bounds, or distinct rows are fewer than clusters.
            UserWarning: where there are `outliers_`.
        """
        self._validate_params()
        table = read_table(self, X, reset=True, sample_weight=sample_weight)
        counting, self._unit = table.counting()
        if self.exact and counting.weights is not None:
            raise ValueError("exact=True moves rows that count alike; give weights of 0 and one other number, or leave exact out")
        self._require_rows(counting, len(table))
        bounds = self._bounds(counting)
        self.min_size_, self.max_size_ = bounds.least, bounds.most
        learned, near = self._without_far(table, counting, self.min_size_ / self._unit)
        num_batches = self._num_batches(len(learned))
        random = check_random_state(self.random_state)
        given = self._start(learned, near, random, (bounds.min_ratio, bounds.max_ratio), num_batches)
        self.n_iter_, settling = 0, Settling(self.tol, bounded_above=self._core.bounded_above)
        passes = Passes(self._core, None if given is None else given.passes)
        if given is not None:
            passes.carry(given.rows(learned.weight).to(self._core.counts))
        while self.n_iter_ < self.max_iter and not settling.done:
            order = torch.from_numpy(random.permutation(len(learned))).to(learned.rows.device)
            self.n_iter_ += 1
            settling.add(*self._pass(passes, learned, order.tensor_split(num_batches)), self._core.prices)
        self._prices = self._core.prices
        labels, self.objective_ = self._repair(table, counting.rows) if self.exact else self._nearest(table)
        self._publish(labels, table.weights)
        exact = "set exact=True for labels that keep it, " if counting.weights is None else ""
        distinct = functools.partial(shortfall.distinct_rows, counting.rows, self._geometry)
        remedy = "lower the minimum" if self.max_size_ == math.inf else "widen the bounds"
        advice = f"{exact}raise max_iter or dual_lr, or {remedy}"
        shortfall.warn_of_missed_bounds(self.counts_, self.min_size_, self.max_size_, distinct, advice=advice)
        return self

    def partial_fit(self, X: ArrayLike | Tensor, y: object = None, sample_weight: ArrayLike | None = None) -> ConstrainedKMeans:
        """Learn from one mini-batch (B, D) of a stream; after `fit` it goes on from there.

        The minimum is a share of the stream, so only `min_size_ratio` can set it. The first batch gives the initial
        centers, unless `init` has some, and the scale in Euclidean geometry. `labels_` are those that the batch got. After it
        the rows of a batch may all weigh nothing: they get labels, and teach nothing.

        Raises:
            ValueError: as `fit`; also for `min_cluster_size`, a first batch of fewer rows than clusters, and settings that
                changed since then.

        Warns:
            ConvergenceWarning: in every 20th batch, where a cluster has less than half of its minimum; and for first centers
                that are equal.
            UserWarning: where the first batch has `outliers_`.
        """
        self._validate_params()
        for name in ("min", "max"):
            if getattr(self, f"{name}_cluster_size") is not None:
                raise ValueError(
                    f"{name}_cluster_size needs the number of rows, which a stream does not tell; set {name}_size_ratio"
                )
        first = not hasattr(self, "_core")
        if not first:
            self._require_same_settings()
        table = learned = read_table(self, X, reset=first, sample_weight=sample_weight)
        if first:
            counting, unit = table.counting()
            if isinstance(self.init, str):
                self._require_rows(counting, len(table))
            self._unit = unit
            counting, near = self._without_far(table, counting, self.min_size_ratio * len(counting) / self.n_clusters)
            learned = table.without(torch.from_numpy(self.outliers_).to(table.rows.device))
            ratios = (self.min_size_ratio, self.max_size_ratio)
            given = self._start(counting, near, check_random_state(self.random_state), ratios, LEAST_BATCHES)
            if given is not None:
                self._core.counts.copy_(given.rows(LEAST_BATCHES * counting.weight))
            shortfall.warn_of_equal_centers(self._core.centers)
        if self.dual_lr is None:
            self._core.set_dual_lr(max(self._steps_before + self.n_steps_ + 1, LEAST_BATCHES))
        labels = self._core.assign(self._geometry.prepare(table.rows, table.lengths))[0]
        self._core.partial_fit(self._geometry.prepare(learned.rows, learned.lengths), *self._batch_weights(learned))
        self.n_steps_ += 1
        self._prices = self._core.prices
        before = 0 if first else self.counts_
        self._publish(labels, table.weights)
        self.counts_ = self.counts_ + before
        if self.n_steps_ % LEAST_BATCHES == 0:
            shortfall.warn_of_stream(self.counts_, self.min_size_ratio, self.max_size_ratio)
        return self

    def predict(self, X: ArrayLike | Tensor) -> NDArray[np.int32]:
        """Cluster of each row under the last centers and duals, (n,) int32: the rule that made `labels_`."""
        check_is_fitted(self)
        return self._nearest(read_table(self, X, reset=False))[0].to(torch.int32).numpy(force=True)

    def transform(self, X: ArrayLike | Tensor) -> NDArray[Any]:
        """Distances (n, K) to the centers without prices, in the data's dtype: Euclidean ones, or 1 - cosine."""
        check_is_fitted(self)
        rows = read_table(self, X, reset=False).rows
        return center_distances(rows, self._core.centers, self._geometry).numpy(force=True)

    def score(self, X: ArrayLike | Tensor, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """Objective of the rows in the clusters that `predict` gives; larger is better."""
        check_is_fitted(self)
        return self._nearest(read_table(self, X, reset=False, sample_weight=sample_weight))[1]

    def _validate_params(self) -> None:
        super()._validate_params()
        refuse_truths(self.get_params(deep=False))

    def _batch_weights(self, table: Table) -> tuple[Tensor | None, Tensor | None]:
        """Weights of a batch of a stream, and of the mean batch so far, in the units that the core counts in."""
        if table.weights is None and self._unit == 1:
            return None, None
        given = table.rows.new_ones(len(table), dtype=torch.float64) if table.weights is None else table.weights
        weights = given / self._unit
        return weights, (self._core.rows + weights.sum()) / (self._core.batches + 1)

    def _require_rows(self, counting: Table, given: int) -> None:
        if (count := len(counting)) < self.n_clusters:
            of = "" if count == given else f"; of {given} rows the others weigh 0, or nothing beside these"
            raise ValueError(f"n_samples={count} should be >= n_clusters={self.n_clusters}{of}")

    def _bounds(self, learned: Table) -> Sizes:
        """Sizes that clusters of these rows may have."""
        wanted = Wanted(self.min_size_ratio, self.min_cluster_size, self.max_size_ratio, self.max_cluster_size)
        return wanted.of_rows(len(learned), self.n_clusters, self._unit, alike=learned.weights is None)

    def _num_batches(self, num_rows: int) -> int:
        rows = batch_rows(num_rows, self.n_clusters) if isinstance(self.batch_size, str) else self.batch_size
        return min(max(math.ceil(num_rows / rows), LEAST_BATCHES), num_rows)

    def _start(
        self, table: Table, near: Table, random: np.random.RandomState, ratios: tuple[float, float | None], num_batches: int
    ) -> GivenClusters | None:
        """Make geometry and core; returns the clusters that they start from, if any."""
        rows, given = table.rows, GivenClusters.of(self.init, self.metric, self.max_iter)
        init = self.init if given is None else given.centers
        geometry = Geometry.of(near.rows, near.weights, spherical=self.metric == "cosine")
        self._core = core.OnlineConstrainedKMeans(
            [self.n_clusters],
            rows.shape[1],
            min_size_ratio=ratios[0],
            max_size_ratio=ratios[1],
            dual_lr=self.dual_lr,
            batches_per_epoch=num_batches,
            dtype=rows.dtype,
            initial_centers=initial_centers(init, self.n_clusters, rows, geometry, random, table.weights),
            spherical=geometry.spherical,
        ).to(rows.device)
        self._geometry = geometry
        if given is not None:
            prices = torch.from_numpy(given.prices / self._geometry.scale**2).to(self._core.duals)
            if not prices.isfinite().all():
                raise ValueError(f"init has prices up to {np.abs(given.prices).max():.3g}, more than {rows.dtype} holds")
            self._core.start_from(self._core.centers, prices)
        self._steps_before = 0 if given is None else given.steps
        self.n_steps_, self._settings = 0, {name: getattr(self, name) for name in FIXED}
        return given

    def _without_far(self, table: Table, counting: Table, least: float) -> tuple[Table, Table]:
        """The rows to learn from and those that give the geometry: all that count, but in Euclidean geometry for far ones."""
        far = None if self.metric == "cosine" or least <= 1 else far_rows(counting.rows, counting.weights, least)
        self.outliers_ = np.empty(0, np.int64)
        if far is None:
            return counting, counting
        places = table.counted()
        self.outliers_ = (far.left_out if places is None else places[far.left_out]).numpy(force=True)
        shortfall.warn_of_far_rows(self.outliers_, len(table))
        return counting.without(far.left_out), counting.without(far.without_scale)

    def _require_same_settings(self) -> None:
        """Refuse settings that a stream cannot change on its way."""
        for name, before in getattr(self, "_settings", {}).items():
            if (now := getattr(self, name)) != before:
                raise ValueError(
                    f"{name} was {before!r} when the stream began and is {now!r}; set it back, or begin anew with a clone"
                )

    def _pass(self, passes: Passes, table: Table, batches: tuple[Tensor, ...]) -> tuple[float, float]:
        """One pass; returns the mean similarity and the share of the rows by which clusters were off their bounds."""
        passes.begin(self.n_iter_ - 1)
        total = torch.zeros((), dtype=torch.float64, device=table.rows.device)
        batch_weight = None if table.weights is None else table.weight / len(batches)
        for index in batches:
            batch = table.at(index)
            prepared = self._geometry.prepare(batch.rows, batch.lengths)
            self._core.collect(prepared, self._core.assign(prepared), batch.weights)
            total += self._core.collected_similarity()
            self._core.begin_update()
            self._core.finish_update(batch_weight)
        self.n_steps_ += len(batches)
        similarity = float(total) / table.weight
        given, (summary,) = passes.end()
        self.pass_counts_ = (given.to(torch.int64) if self._unit == 1 else given * self._unit).numpy(force=True)
        self.certificate_slack_ = float(summary.slack) * self._unit
        self.certificate_slack_above_ = float(summary.slack_above) * self._unit
        if self.verbose:
            sizes = shortfall.sizes_in_words(self.pass_counts_, self.min_size_, self.max_size_)
            print(f"pass {self.n_iter_}: {sizes}, mean similarity {similarity:.5f}")
        return similarity, float(summary.off_bounds(given)) / table.weight

    def _nearest(self, table: Table) -> tuple[Tensor, float]:
        """Argmax labels (n,) under the prices, and their objective in the data's units."""
        return nearest_labels(table, self._core.centers, self._prices, self._geometry)

    def _repair(self, table: Table, rows: Tensor) -> tuple[Tensor, float]:
        """Labels (n,), by which the `rows` that count keep both bounds, and their objective; prices become duals."""
        bounds = self.min_size_, self.max_size_
        found = bounded_labels(rows, self._core.centers, self._core.prices, self._geometry, *bounds, self._unit)
        self._prices = found.prices.to(rows.device)
        self._core.take_prices(self._prices)
        self.repair_moves_, self.repair_cost_, self.optimality_gap_ = found.moves, found.cost, found.gap
        if (places := table.counted()) is None:
            return found.labels, found.objective
        labels = self._nearest(table)[0]
        return labels.index_copy(0, places, found.labels.to(labels)), found.objective

    def _publish(self, labels: Tensor, weights: Tensor | None) -> None:
        """Learned state as arrays in the data's units."""
        self.labels_ = labels.to(torch.int32).numpy(force=True)
        counting = None if weights is None else weights.numpy(force=True)
        self.counts_ = np.bincount(self.labels_, counting, minlength=self.n_clusters)
        self.cluster_centers_ = self._geometry.restore(self._core.centers).numpy(force=True)
        self.duals_ = (self._prices.double() * self._geometry.scale**2).numpy(force=True)
        self._n_features_out = self.n_clusters

    def __sklearn_clone__(self) -> ConstrainedKMeans:
        """As scikit-learn clones, but what to start from stays fitted."""
        made: ConstrainedKMeans = super().__sklearn_clone__()
        if isinstance(self.init, ConstrainedKMeans):
            made.init = self.init
        return made

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "cluster_centers_")  # a fit that was refused leaves other attributes behind

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


ConstrainedKMeans._parameter_constraints["init"] = [*PARAMETERS["init"], ConstrainedKMeans]  # which has no name before it is made
