"""Webhook deliveries, their retries and their signatures. It imports `wire` and `jobs`."""
