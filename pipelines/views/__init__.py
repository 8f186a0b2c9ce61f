"""What happens to an image: crops and augmentation."""
