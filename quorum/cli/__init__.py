"""The `quorum` command."""

from quorum.cli.entry import main

__all__ = ["main"]
