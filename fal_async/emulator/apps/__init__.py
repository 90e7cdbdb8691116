"""Mounted applications in this process or behind a URL, and the way to call them.

It imports `wire` and `jobs`.
"""
