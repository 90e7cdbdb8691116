"""List the requests that fal may or may not have accepted, look them up in fal's request history, or resolve one.

After --resolve KEY --not-taken the next run submits the request again. If fal has accepted it before, it is
paid twice. Exit status: 4 if some requests are still uncertain, 3 without credentials for --lookup, else 0.
"""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments

EXAMPLES = ("fal-async batch uncertain --ledger runs.db --lookup",)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    arguments.add_ledger(parser, must_exist=True)
    arguments.add_run(parser, "every run; with --resolve: the run that has the key")
    arguments.add_json(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--lookup",
        action="store_true",
        help="search fal's request history for them, and finish requests that an earlier process left running",
    )
    what.add_argument(
        "--resolve",
        metavar="KEY",
        help="store whether fal accepted the request of this key; needs --request-id or --not-taken",
    )
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--request-id", metavar="ID", help="fal accepted it, under this request id")
    decision.add_argument("--not-taken", action="store_true", help="fal did not accept it")
    add(
        "--tenant",
        metavar="NAME",
        help="name of the tenant (default: every tenant; with --lookup: entries without a tenant)",
    )


def run(options: argparse.Namespace) -> int:
    from fal_async.cli import exits
    from fal_async.cli.messages import fail

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
