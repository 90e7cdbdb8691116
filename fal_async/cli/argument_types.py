"""Types of arguments that several verbs take, and the argument `--json`."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation


def add_json(parser: argparse.ArgumentParser, help: str = "print one JSON document") -> None:
    """Add `--json`, which every verb has."""
    parser.add_argument("--json", action="store_true", help=help)


def count(text: str) -> int:
    """Parse an integer >= 0."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer >= 0")
    return int(text)


def at_least_one(text: str) -> int:
    """Parse an integer >= 1."""
    if not count(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer >= 1")
    return int(text)


def amount(text: str) -> Decimal:
    """Parse an amount of money, > 0."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an amount > 0")
    return value


def seconds(text: str) -> float:
    """Parse seconds, > 0 and finite."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds > 0")
    return value


def names(text: str) -> list[str]:
    """Parse names separated by commas: `prompt,seed`."""
    found = [name.strip() for name in text.split(",")]
    if "" in found:
        raise argparse.ArgumentTypeError(f"{text!r}: expected names separated by commas")
    return found
