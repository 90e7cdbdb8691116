"""Send many inputs to one endpoint, each paid once.

A ledger file stores each request and its outcome, so that the same command continues where it stopped.
"""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType

PARTS = {
    "run": "send the inputs in a file to an endpoint; the same command continues the run",
    "status": "show how many requests of each run are done, failed or open",
    "uncertain": "list requests that fal may have accepted, look them up, or resolve one",
    "export": "write the entries of a ledger to a file, as JSON lines or CSV",
}
"""Each part, with its line in `--help`. Its module has the same two functions as the module of a verb."""


def configure(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, line in PARTS.items():
        module = _module(name)
        part = parts.add_parser(name, help=line, description=module.__doc__)
        module.configure(part)


def run(options: argparse.Namespace) -> int:
    code: int = _module(options.part).run(options)
    return code


def _module(part: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.batch_{part}")
