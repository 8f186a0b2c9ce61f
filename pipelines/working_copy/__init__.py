"""A shuffled copy of the vectors, for files that a stream cannot read as they are."""
