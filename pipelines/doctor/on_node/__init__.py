"""Checks that run on each node, and return what they find there."""
