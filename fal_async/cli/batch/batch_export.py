"""Write the entries of a ledger to a file: JSON lines (.jsonl) or CSV (.csv), with one entry in each line."""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments

EXAMPLES = ("fal-async batch export results.csv --ledger runs.db",)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the file to write, with the suffix .jsonl or .csv")
    arguments.add_ledger(parser, must_exist=True)
    arguments.add_run(parser, "every run")
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.batch.ledger_views import export

    return export(options)
