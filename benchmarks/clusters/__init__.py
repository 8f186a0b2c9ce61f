"""What is done with embeddings on a cluster, against bare loops, brute force and one level."""
