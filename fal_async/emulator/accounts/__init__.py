"""Who may call: keys, logins and realtime tokens. It imports `wire` only."""
