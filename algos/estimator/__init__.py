"""Constrained k-means for scikit-learn."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from algos.estimator.estimator import ConstrainedKMeans

__all__ = ["ConstrainedKMeans"]


def __getattr__(name: str) -> Any:
    """Load what is handed on when it is asked for: modules beside it are imported without it."""
    if name != "ConstrainedKMeans":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from algos.estimator.estimator import ConstrainedKMeans

    return ConstrainedKMeans
