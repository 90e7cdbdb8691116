"""The files of a batch's results."""
