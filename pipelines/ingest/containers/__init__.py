"""Images that come packed: Parquet, WebDataset, tables of paths."""
