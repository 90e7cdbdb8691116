"""The programs of `fal_async/ledger/ENGINES.md` with the real engines."""
