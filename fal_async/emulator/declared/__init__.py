"""Endpoints that are declared in a document, TOML or JSON, in place of Python (`emulator/ENDPOINTS.md`)."""
