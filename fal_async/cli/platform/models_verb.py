"""Search the models that fal offers. It costs nothing and needs no API key."""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json, at_least_one

EXAMPLES = ("fal-async models flux", "fal-async models --category text-to-image --limit 50")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "words",
        metavar="SEARCH",
        nargs="*",
        default=[],
        help="words in a name, description or category (default: all)",
    )
    add("--category", metavar="NAME", help="such as text-to-image (default: all)")
    add("--status", choices=("active", "deprecated"), help="(default: both)")
    add("--limit", type=at_least_one, metavar="N", default=20, help="print at most N models (default: 20)")
    add_json(parser, "print the models as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.platform.listings import models

    return models(options)
