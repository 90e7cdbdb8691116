"""Parses the port of a server of the command line, and explains why a server can't listen."""

from __future__ import annotations

import argparse
import errno


def port(text: str) -> int:
    """Parse a port for argparse. 0 means any free port."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a port, 0 to 65535")
    return int(text)


def explained(error: OSError, host: str, port: int) -> str:
    """Return the message for an error of listening at this address."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use on {host}: pass another --port, or --port 0 for a free one"
    return f"can't listen on {host}, port {port}: {error.strerror or error}"
