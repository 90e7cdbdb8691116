"""What the items of a batch are known by, and what has been seen of them before."""
