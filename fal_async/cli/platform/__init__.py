"""The verbs of the platform API: `models`, `schema`, `price`, `usage` and `requests`."""
