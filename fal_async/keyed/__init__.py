"""Keyed calls: one key is one request, in this process, in the next one and in other processes."""
