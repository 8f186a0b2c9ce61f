"""Tests of what is counted and computed of the traffic."""
