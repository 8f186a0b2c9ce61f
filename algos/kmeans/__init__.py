"""Online constrained k-means: the core."""

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans

__all__ = ["OnlineConstrainedKMeans"]
