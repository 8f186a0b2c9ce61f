"""SeCu: representations without labels, with cluster centers that are trained."""
