"""Defaults that the help of the command line shows, and checks of options; the module imports nothing heavy."""

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


def check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise ValueError(f"port={port}: expected an int from 0 to 65535, 0 for a free port")


def check_above_0(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}={value}: expected a number > 0")


def check_from_0(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name}={value}: expected seconds >= 0")
