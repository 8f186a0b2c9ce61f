"""`python -m pipelines` is the `quorum` command without what `tune` adds to it."""

from pipelines.cli import main

main()
