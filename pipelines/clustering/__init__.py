"""`quorum cluster`: embeddings to clusters with a minimum size."""
