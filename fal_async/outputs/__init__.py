"""The output of a model: finding its files, and encoding its values as JSON."""
