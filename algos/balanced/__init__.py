"""Assignment by a balanced plan of each batch, the other way to keep clusters from collapsing."""
