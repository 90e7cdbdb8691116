"""The verb `types`."""
