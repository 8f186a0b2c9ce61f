"""Features of a trained model, and what is made of them."""
