"""The ledger in one SQLite file: each process has one thread per file, which commits writes in groups."""
