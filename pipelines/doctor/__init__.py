"""What works between a cluster, its storage, its data and MLflow, and what to set where something does not."""
