"""Workflows: definitions are checked, and run as jobs of the endpoints that their nodes call (protocol 15)."""
