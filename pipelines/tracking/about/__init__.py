"""What MLflow shows of a run beside its figures: where its page is, who started it, with what, on which data."""
