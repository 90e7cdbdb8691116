"""Where a server of the command line listens: the port as it is given, and why it can't have it."""

from __future__ import annotations

import argparse
import errno


def port(text: str) -> int:
    """For `argparse`. 0 stands for a free one."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: expected 0 to 65535")
    return int(text)


def explained(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken on {host}: choose another with --port, or --port 0 for a free one"
    return f"can't listen on {host}, port {port}: {error.strerror or error}"
