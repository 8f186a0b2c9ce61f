"""What will be tried: search spaces, sweeps, their plans."""
