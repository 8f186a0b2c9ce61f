"""What is told of a run while it is at work, and of the machines that it is on."""
