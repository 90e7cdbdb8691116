"""Uploaded and produced files: where they are kept, who may read them, when they expire.

It imports `wire` only.
"""
