"""What the training loop trains; a folder a method."""
