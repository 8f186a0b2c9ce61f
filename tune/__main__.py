"""`python -m tune` is the `quorum` command."""

from tune.cli import main

main()
