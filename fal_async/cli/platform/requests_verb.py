"""Print past requests of an endpoint, or of the whole account, newest first. fal's history lags by a few minutes.

Without an ENDPOINT, or with --search, fal has no filters by time and status.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json, at_least_one

EXAMPLES = (
    "fal-async requests fal-ai/flux/dev --days 2 --status success",
    'fal-async requests --search "a cat"',
)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("endpoint", metavar="ENDPOINT", nargs="?", help="such as fal-ai/flux/dev (default: all)")
    add("--search", metavar="TEXT", help="requests that are about this")
    add("--days", type=at_least_one, metavar="N", help="of the last N days (default: 1)")
    add("--status", choices=("success", "error", "user_error"), help="only those that ended so")
    add("--limit", type=at_least_one, metavar="N", default=20, help="print at most N requests (default: 20)")
    add("--payloads", action="store_true", help="with --json: also their inputs and outputs")
    add_json(parser, "print the requests as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.platform.listings import requests

    return requests(options)
