"""Data at rest: image shards, embeddings, label selections."""
