"""Tests of what a process does first."""
