"""Verbs with parts, such as `batch run`. The part `run` of `batch` is the module `batch/batch_run.py`.

The module of a part has the same two functions as the module of a verb, and is imported only when the part is used.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from types import ModuleType


def configure(parser: argparse.ArgumentParser, verb: str, parts: Mapping[str, str]) -> None:
    """Add the parts to the parser of their verb.

    Args:
        parser: the parser of the verb.
        verb: the full name of the verb's package.
        parts: each part, with its line in `--help`.
    """
    found = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, line in parts.items():
        module = module_of(verb, name)
        part = found.add_parser(name, help=line, description=module.__doc__)
        module.configure(part)


def run(options: argparse.Namespace, verb: str) -> int:
    """Run the part that was given, and return the exit status."""
    code: int = module_of(verb, options.part).run(options)
    return code


def module_of(verb: str, part: str) -> ModuleType:
    """Return the module of a part."""
    return importlib.import_module(f"{verb}.{verb.rpartition('.')[2]}_{part}")
