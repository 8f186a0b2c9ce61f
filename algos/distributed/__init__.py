"""Sums over the workers of a job."""
