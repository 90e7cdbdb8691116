"""What a ledger stores about a keyed call, and the decisions that follow from it.

Pure: the store is in `ledger/`, and `keyed/` carries out the decisions.
"""
