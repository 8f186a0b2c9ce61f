"""A run's folder and the model in it."""
