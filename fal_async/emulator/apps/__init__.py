"""Mounted applications, in this process or behind a URL, and how they are called.

It imports `wire` and `jobs`.
"""
