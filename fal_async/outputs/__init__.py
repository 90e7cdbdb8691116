"""The output of a model: its files, and its values as JSON."""
