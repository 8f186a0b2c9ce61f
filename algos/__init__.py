"""Methods and networks in pure PyTorch: tensors and torch.distributed, no Ray, no MLflow, no files."""
