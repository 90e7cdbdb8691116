"""Defaults that the help of the command line shows, in a module that imports nothing heavy."""

from __future__ import annotations

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
"""Port of the emulator as a separate process; in a test it listens on a free port."""
DEFAULT_KEY = "emulator:key"
DEFAULT_RUNNERS = 2
"""On fal, a new account runs two requests at a time (protocol 9.4)."""
OTHER_SETTINGS = (
    "FAL_KEY_ID",
    "FAL_KEY_SECRET",
    "FAL_FORCE_AUTH_BY_USER",
    "FAL_RUN_HOST",
    "FAL_QUEUE_RUN_HOST",
    "FAL_OPENAPI_HOST",
    "FAL_REST_URL",
)
"""Variables that may take precedence over FAL_BASE_URL and FAL_KEY in some client (protocol 1.3)."""
CLOCKS = ("real", "auto", "manual")
KEEP_JOBS = 10_000
"""Limit of the emulator as a separate process, since inputs of jobs may contain whole files as data URIs."""
KEEP_REQUESTS = 1000
"""How many HTTP requests the emulator as a separate process stores; `Emulator` in a program stores more."""
