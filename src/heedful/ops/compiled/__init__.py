"""What compiled functions are made of: how they are compiled, and the products that they share."""
