"""Requests of which nobody knows whether fal has taken them: list them, look them up in fal's request history, or
decide.

Deciding --not-taken lets the next run submit it again: if fal had taken it after all, it is paid twice.
Exit status: 4 while some are uncertain, 3 without credentials for --lookup, else 0.
"""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    arguments.add_ledger(parser, must_exist=True)
    arguments.add_run(parser, "every run; of --resolve: the one that has the key")
    arguments.add_json(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--lookup",
        action="store_true",
        help="ask fal's request history, and follow to its end what is found, and what an earlier process left",
    )
    what.add_argument("--resolve", metavar="KEY", help="decide about this one, with one of the next two")
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--request-id", metavar="ID", help="fal took it: this is its request")
    decision.add_argument("--not-taken", action="store_true", help="fal never took it")
    add("--tenant", metavar="NAME", help="whose (default: everybody's; of --lookup: nobody's)")


def run(options: argparse.Namespace) -> int:
    from fal_async.cli import exits, fail

    decided = options.request_id is not None or options.not_taken
    if decided != (options.resolve is not None):
        fail("batch uncertain", "--resolve KEY goes with --request-id ID, or with --not-taken")
        return exits.USAGE
    # Not for --help: these take a quarter of a second to load.
    from fal_async.cli.batch.ledger_views import uncertain

    return uncertain(options)
