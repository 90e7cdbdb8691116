"""Many inputs for one endpoint, each paid once: a ledger keeps what was done, so the same line again goes on."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType

PARTS = {
    "run": "run an endpoint over a file of inputs; the same line again goes on",
    "status": "how far the runs in a ledger are",
    "uncertain": "requests that fal may have taken: list them, look them up, decide",
    "export": "write what a ledger keeps to a file, as JSON lines or CSV",
}
"""Each with its line in `--help`. Its module is imported as the verbs' are."""


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
