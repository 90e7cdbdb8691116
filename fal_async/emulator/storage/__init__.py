"""Uploaded and produced files: where they lie, who may read them, how long they live.

It imports `wire` only.
"""
