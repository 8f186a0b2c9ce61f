"""Search spaces, sweeps and the comparison of runs."""
