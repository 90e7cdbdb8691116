"""Keyed calls: one request for one key, whoever asks for it, in this process, the next one, or another."""
