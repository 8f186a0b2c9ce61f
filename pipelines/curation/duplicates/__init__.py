"""Near-duplicates: rows dealt to their clusters, compared there, and sorted out in the order of the data."""
