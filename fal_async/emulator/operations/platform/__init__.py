"""The operations of api.fal.ai/v1, from the emulator's own books: one module for each subject (protocol 11).

`platform_operations.py` has the table of them. The operations of storage are in `operations/storage_access.py`.
"""
