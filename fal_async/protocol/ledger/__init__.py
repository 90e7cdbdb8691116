"""What a ledger stores about a keyed call, and the decisions that follow from it.

These modules are pure. `ledger/` stores the entries, and `keyed/` carries out the decisions. A claim is the
ledger's note, written before a submit is sent, that a process is about to send it.
"""
