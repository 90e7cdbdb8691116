"""Send many inputs to one endpoint, each paid once.

A ledger (a file, or a PostgreSQL database) stores each request and its outcome, so that the same command continues
where it stopped.
"""

from __future__ import annotations

import argparse

from fal_async.cli import parts

PARTS = {
    "run": "send the inputs in a file to an endpoint; the same command continues the run",
    "status": "show how many requests of each run are done, failed or open",
    "uncertain": "list requests that fal may have accepted, look them up, or resolve one",
    "export": "write the entries of a ledger to a file, as JSON lines or CSV",
}
"""Each part, with its line in `--help`."""


def configure(parser: argparse.ArgumentParser) -> None:
    parts.configure(parser, __name__, PARTS)


def run(options: argparse.Namespace) -> int:
    return parts.run(options, __name__)
