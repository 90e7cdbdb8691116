"""The keys of a batch's items, and which of them were seen before."""
