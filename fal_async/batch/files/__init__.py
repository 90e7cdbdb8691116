"""Downloads the files of a batch's results (`download=`)."""
