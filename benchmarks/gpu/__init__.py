"""What a GPU makes of training and clustering, against what no program of the kind can avoid."""
