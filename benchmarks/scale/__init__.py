"""What grows with the number of images, at numbers of them of which no images are read."""
