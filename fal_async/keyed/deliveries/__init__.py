"""Webhook deliveries of keyed requests: any process stores them in the ledger, and every process waits for them."""
