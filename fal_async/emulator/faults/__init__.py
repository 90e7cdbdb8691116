"""Failures on demand: one class per kind of fault, and the script that decides which call gets which fault.

It imports `wire` only.
"""
