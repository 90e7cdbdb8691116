"""Print what models cost per billing unit, and estimate what calls will cost. Asking costs nothing."""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json, amount, at_least_one

EXAMPLES = ("fal-async price fal-ai/flux/dev", "fal-async price fal-ai/flux/dev --calls 1000")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("endpoints", metavar="ENDPOINT", nargs="+", help="endpoint id, such as fal-ai/flux/dev")
    quantity = parser.add_mutually_exclusive_group()
    quantity.add_argument(
        "--calls",
        type=at_least_one,
        metavar="N",
        help="estimate the total of N calls of each, by what calls have cost so far",
    )
    quantity.add_argument(
        "--units", type=amount, metavar="N", help="estimate the total of N billing units of each"
    )
    add_json(parser, "print the prices, and the estimate, as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.platform.money import price

    return price(options)
