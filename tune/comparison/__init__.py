"""What came out: runs compared with honest statistics."""
