"""The output of a model: the files in it, and its values as JSON."""
