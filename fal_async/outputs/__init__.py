"""What the output of a model holds."""
