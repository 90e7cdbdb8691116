"""List the requests that fal may or may not have taken, look them up in fal's request history, or resolve one.

After --resolve KEY --not-taken the next run submits the request again: if fal had taken it after all, it is
paid twice. Exit status: 4 while some are uncertain, 3 without credentials for --lookup, else 0.
"""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    arguments.add_ledger(parser, must_exist=True)
    arguments.add_run(parser, "every run; with --resolve: the run that has the key")
    arguments.add_json(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--lookup",
        action="store_true",
        help="search fal's request history for them, and follow those found and those an earlier process left",
    )
    what.add_argument(
        "--resolve", metavar="KEY", help="resolve the request of this key; needs --request-id or --not-taken"
    )
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--request-id", metavar="ID", help="fal took it, under this request id")
    decision.add_argument("--not-taken", action="store_true", help="fal did not take it")
    add(
        "--tenant",
        metavar="NAME",
        help="which tenant (default: every tenant; with --lookup: entries without one)",
    )


def run(options: argparse.Namespace) -> int:
    from fal_async.cli import exits, fail

    decided = options.request_id is not None or options.not_taken
    if decided != (options.resolve is not None):
        fail(
            "batch uncertain",
            "--resolve KEY needs --request-id ID or --not-taken, and these need --resolve KEY",
        )
        return exits.USAGE
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.batch.ledger_views import uncertain

    return uncertain(options)
