"""Uploaded and produced files: where they are stored, who may read them, when they expire.

It imports `wire` only.
"""
