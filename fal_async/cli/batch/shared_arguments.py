"""Arguments that several parts of `fal-async batch` take."""

from __future__ import annotations

import argparse
import os

from fal_async.cli import argument_types
from fal_async.errors import ConfigurationError

_IF_MISSING = "; created if missing"


def add_ledger(parser: argparse.ArgumentParser, *, must_exist: bool) -> None:
    """Add `--ledger`. With `must_exist`, a mistyped path is an error, and does not create an empty ledger."""
    parser.add_argument(
        "--ledger",
        required=True,
        type=_existing if must_exist else str,
        metavar="LEDGER",
        help="file of the ledger, such as runs.db, or postgresql://..." + _IF_MISSING * (not must_exist),
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object in each line, a summary last"
    )


def add_run(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--run", metavar="NAME", help=f"name of the run (default: {default})")


def _existing(text: str) -> str:
    # Imported late: it loads SQLite, which --help does not need.
    from fal_async.ledger.opening import checked_place
    from fal_async.ledger.postgres.postgres_address import is_address

    try:
        place = checked_place(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    if not is_address(place) and not os.path.isfile(place):
        raise argparse.ArgumentTypeError(f"{place}: expected the file of an existing ledger")
    return text


def failures(text: str) -> int | float:
    """Parse a number of items, or a share of them: `20` or `5%`."""
    if not text.endswith("%"):
        return argument_types.count(text)
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of items, or a share such as 5%")
    return share
