"""The ledger in one SQLite file. Each process has one thread per file, which commits several writes together."""
