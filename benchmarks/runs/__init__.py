"""Benchmarks that are whole runs of the `quorum` command."""
