"""Data in motion: shuffled, decoded batches in an order that is a function of the seed."""
