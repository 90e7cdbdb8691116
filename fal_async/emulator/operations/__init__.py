"""The operations of fal: one file for one or a few rows of the gateway's `SERVICES`.

It imports `core` and the folders below it, not the gateway.
"""
