"""Clusterings on two levels: parents, and clusters below them."""
