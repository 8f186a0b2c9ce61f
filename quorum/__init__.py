"""Quorum: image representations and few-label classifiers by online constrained k-means."""
