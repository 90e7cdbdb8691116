"""Write what a ledger keeps to a file: an entry in each line of .jsonl, or in each row of .csv."""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file that ends in .jsonl or .csv")
    arguments.add_ledger(parser, must_exist=True)
    arguments.add_run(parser, "every run")
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    # Not for --help: these take a quarter of a second to load.
    from fal_async.cli.batch.ledger_views import export

    return export(options)
