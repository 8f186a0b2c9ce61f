"""What a process does first that imports `quorum`."""
