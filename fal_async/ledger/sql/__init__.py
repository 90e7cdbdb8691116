"""The rules of the writes to an entry, as SQL that is the same in SQLite and PostgreSQL."""
