"""How far the runs in a ledger are: how many of each are done, failed, uncertain, under way, and what they cost."""

from __future__ import annotations

import argparse

from fal_async.cli.batch import shared_arguments as arguments


def configure(parser: argparse.ArgumentParser) -> None:
    arguments.add_ledger(parser, must_exist=True)
    arguments.add_run(parser, "every run")
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    # Not for --help: these take a quarter of a second to load.
    from fal_async.cli.batch.ledger_views import status

    return status(options)
