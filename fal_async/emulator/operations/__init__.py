"""The operations of fal: one file per row, or per few rows, of the gateway's `SERVICES`.

It imports `core` and the folders below it, not the gateway.
"""
