"""Print what was used and what it cost. It needs an admin API key. fal's figures lag by a few minutes."""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json, at_least_one

BY = ("endpoint", "key", "hour", "day", "week", "month")
EXAMPLES = ("fal-async usage --by endpoint --days 7", "fal-async usage fal-ai/flux/dev --by day --days 30")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("endpoints", metavar="ENDPOINT", nargs="*", default=[], help="only these endpoints (default: all)")
    add("--by", choices=BY, default="endpoint", help="how amounts are added up (default: endpoint)")
    add("--days", type=at_least_one, metavar="N", default=7, help="the last N days (default: 7)")
    add_json(parser, "print the lines and the totals as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.platform.money import usage

    return usage(options)
