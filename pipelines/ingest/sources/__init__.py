"""What images come as: folders and published archives."""
