"""Accounts with their keys, logins and realtime tokens. It imports `wire` only."""
