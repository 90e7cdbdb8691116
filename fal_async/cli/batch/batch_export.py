"""Write the entries of a ledger to a file: one in each line of .jsonl, or in each row of .csv."""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file that ends in .jsonl or .csv")
    arguments.add_ledger(parser, must_exist=True)
    arguments.add_run(parser, "every run")
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.batch.ledger_views import export

    return export(options)
