"""Sources of images to shards."""
