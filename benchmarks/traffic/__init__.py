"""What a step sends: counted on real workers, and the formula that fits it for more of them."""
