"""Images of others, used where they lie."""
