"""What a storage need not keep: found, and deleted where it is wished."""
