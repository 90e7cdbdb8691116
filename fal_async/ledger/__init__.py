"""The ledger: what is kept of keyed calls, so that one key is one bill. `store` is the seam to where it is kept."""
