"""The ledger: it stores keyed calls, so that one key is paid once. `store` is the seam to the storage."""
