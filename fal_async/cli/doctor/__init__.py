"""Examine this machine, its settings and its way to fal, and print a report for a support thread.

The report has no secrets: never the API key, tokens, or the passwords of proxies. Nothing is billed. Each check
takes a few seconds at most, also without a network.

Exit status: 0 if nothing is wrong (warnings are allowed), 1 for a problem, 3 for a problem of the API key or the
balance.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json

EXAMPLES = ("fal-async doctor", "fal-async doctor --ledger runs.db --json")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ledger", metavar="LEDGER", help="also examine this ledger: a path, or `postgresql://...`"
    )
    add_json(parser, "print the report as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.doctor.doctor_command import examine_and_report

    return examine_and_report(options)
