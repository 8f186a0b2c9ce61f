"""Paths on any file system, and Parquet readers."""
