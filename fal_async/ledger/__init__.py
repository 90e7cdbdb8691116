"""The ledger, which stores keyed calls, so that one key is billed once. `store` is the seam to the storage."""
