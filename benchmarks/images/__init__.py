"""Photographs without a download, and the input side as the benchmarks drive it."""
