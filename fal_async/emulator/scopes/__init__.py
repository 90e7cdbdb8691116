"""Scopes: several tests on one emulator, each with its own key, faults, books and requests."""
