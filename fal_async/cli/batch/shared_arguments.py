"""Arguments that several parts of `fal-async batch` take."""

from __future__ import annotations

import argparse
import os
from decimal import Decimal, InvalidOperation

from fal_async.errors import ConfigurationError


def add_ledger(parser: argparse.ArgumentParser, *, must_exist: bool) -> None:
    """`must_exist`: a typing mistake must not make a new, empty ledger."""
    parser.add_argument(
        "--ledger",
        required=True,
        type=_existing if must_exist else str,
        metavar="FILE",
        help="the ledger, such as runs.db" + ("" if must_exist else "; made if missing"),
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="JSON lines on standard output: an object each, a summary last"
    )


def add_run(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--run", metavar="NAME", help=f"which run (default: {default})")


def _existing(text: str) -> str:
    # Not for --help: it loads SQLite.
    from fal_async.ledger.sqlite.location import path_of

    try:
        path = path_of(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    if not os.path.isfile(path):
        raise argparse.ArgumentTypeError(f"there is no ledger at {path}")
    return text


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number")
    return int(text)


def at_least_one(text: str) -> int:
    if not count(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on")
    return int(text)


def failures(text: str) -> int | float:
    """A number of items, or a share of them: `20` or `5%`."""
    if not text.endswith("%"):
        return count(text)
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of items, or a share such as 5%")
    return share


def amount(text: str) -> Decimal:
    """Of money."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an amount, more than 0")
    return value


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds, more than 0")
    return value


def names(text: str) -> list[str]:
    """`prompt,seed`"""
    found = [name.strip() for name in text.split(",")]
    if "" in found:
        raise argparse.ArgumentTypeError(f"{text!r}: expected names, separated by commas")
    return found
