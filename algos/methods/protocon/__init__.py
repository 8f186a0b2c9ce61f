"""ProtoCon: a classifier from a few labels."""
