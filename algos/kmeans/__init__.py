"""Online constrained k-means: the core."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans

__all__ = ["OnlineConstrainedKMeans"]


def __getattr__(name: str) -> Any:
    """Load what is handed on when it is asked for: modules beside it are imported without it."""
    if name != "OnlineConstrainedKMeans":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans

    return OnlineConstrainedKMeans
