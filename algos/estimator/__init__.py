"""Constrained k-means for scikit-learn."""

from algos.estimator.estimator import ConstrainedKMeans

__all__ = ["ConstrainedKMeans"]
