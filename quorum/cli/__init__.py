"""The `quorum` command."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `quorum`."""
    from quorum.cli import sweep_commands

    sweep_commands.main(arguments)
