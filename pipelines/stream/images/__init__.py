"""Images on their way to training."""
