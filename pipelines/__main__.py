"""`python -m pipelines` is the `quorum` command."""

from pipelines.cli import main

main()
