"""What people do with finished clusters: a balanced sample, near-duplicates, centers for other programs."""
