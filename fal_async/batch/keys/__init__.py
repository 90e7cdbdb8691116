"""The keys of a batch's items: how they are derived, and which of them the batch has seen."""
