"""What is kept of a run: journal, MLflow, pictures."""
