"""Rules that say how far a pseudo-label is trusted, one a module."""
