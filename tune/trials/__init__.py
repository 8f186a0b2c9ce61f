"""How trials are run, through Ray Tune."""
