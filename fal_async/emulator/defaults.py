"""The defaults that the command line's help names: light to import, unlike the emulator."""

from __future__ import annotations

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
"""Of the emulator as a process; inside a test it takes a free one."""
DEFAULT_KEY = "emulator:key"
DEFAULT_RUNNERS = 2
"""New accounts run two requests at a time (protocol 9.4)."""
KEEP_JOBS = 10_000
"""Of the emulator as a process: with their inputs, which may hold whole files as data URIs."""
