"""Labels that keep every minimum size at the least cost."""
