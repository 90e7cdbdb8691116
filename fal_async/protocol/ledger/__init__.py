"""What a ledger keeps of a keyed call, and what follows from it.

Pure: the store is in `ledger/`, who acts is in `keyed/`.
"""
