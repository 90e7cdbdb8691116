"""The ledger in one SQLite file: one thread per file and process, which commits in groups."""
