"""Compares the shapes of recorded calls with what this emulator answers to the same calls."""
