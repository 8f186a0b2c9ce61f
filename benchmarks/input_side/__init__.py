"""The host's side of the input beside the loaders that people use."""
