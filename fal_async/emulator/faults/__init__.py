"""Failures on demand: one class per kind of fault, and the script that says which call gets which.

It imports `wire` only.
"""
