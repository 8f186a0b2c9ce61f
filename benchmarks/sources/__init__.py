"""What it costs to take what people bring."""
