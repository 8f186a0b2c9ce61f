"""Ray: one cluster, one job."""
