"""Images on their way to training: read, decoded and cropped in tasks or on the device, and made into batches."""
