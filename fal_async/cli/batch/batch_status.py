"""Show how many requests of each run in a ledger are done, failed, uncertain or open, and their cost."""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments

EXAMPLES = ("fal-async batch status --ledger runs.db",)


def configure(parser: argparse.ArgumentParser) -> None:
    arguments.add_ledger(parser, must_exist=True)
    arguments.add_run(parser, "every run")
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.batch.ledger_views import status

    return status(options)
