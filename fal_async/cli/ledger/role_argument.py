"""The argument `--role` of `fal-async ledger`."""

from __future__ import annotations

import argparse

_MOST = 63
"""Bytes of the name of a role, at most."""


def add_role(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--role",
        type=role,
        metavar="NAME",
        help="also grant this role the rights that a program needs (default: only the owner has rights)",
    )


def role(text: str) -> str:
    """Parse the name of a role of PostgreSQL."""
    if not (text.isprintable() and 1 <= len(text.encode(errors="replace")) <= _MOST):
        raise argparse.ArgumentTypeError(
            f"{text[:_MOST]!r}: expected the name of a role: 1 to {_MOST} bytes, one line"
        )
    return text
