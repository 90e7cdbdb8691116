"""The format of recordings: a cassette is one call as a readable JSON document, with its files beside it."""
