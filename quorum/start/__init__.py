"""What a process does first that imports `quorum`: it heeds wishes to stop, and then looks whose packages it has."""

from quorum.start import own_process

__all__ = ["own_process"]  # whose import is what heeds them
