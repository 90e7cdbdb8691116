"""Make the tables of a ledger in a PostgreSQL database, or migrate them to this version of fal_async.

`fal_async.Ledger.open` makes them, too, if its user may do so. To look into a ledger, use `fal-async batch`.
"""

from __future__ import annotations

import argparse

from fal_async.cli import parts

PARTS = {
    "schema": "print the SQL that makes the tables, for an administrator",
    "migrate": "make the tables in a database, or migrate them to this version of fal_async",
}
"""Each part, with its line in `--help`."""


def configure(parser: argparse.ArgumentParser) -> None:
    parts.configure(parser, __name__, PARTS)


def run(options: argparse.Namespace) -> int:
    return parts.run(options, __name__)
