"""Write a Python module with the types of endpoints, from fal's own schemas.

It has classes for the inputs and outputs, and an `Endpoint` for each endpoint. A field that is None is not sent, so
that fal's own default applies, which the docstring shows. The same schemas make the same module. No key is needed,
and nothing is billed.

With --check nothing is written. Exit status: 1 if fal's schemas have changed since the file was made, and a line
for each change; 0 if the file is current, however it is formatted.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json

EXAMPLES = (
    "fal-async types fal-ai/flux/dev fal-ai/flux/schnell -o fal_types.py",
    "fal-async types fal-ai/flux/dev --style pydantic",
    "fal-async types fal-ai/flux/dev fal-ai/flux/schnell -o fal_types.py --check",
)


def configure(parser: argparse.ArgumentParser) -> None:
    from fal_async.typegen.styles import STYLES

    parser.add_argument(
        "endpoints", metavar="ENDPOINT", nargs="+", help="endpoint id, such as fal-ai/flux/dev"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="file to write or to check (default: standard output)"
    )
    parser.add_argument(
        "--style",
        choices=list(STYLES),
        default=next(iter(STYLES)),
        help="what the types are (default: %(default)s)",
    )
    parser.add_argument(
        "--check", action="store_true", help="print what has changed at fal since the file was made"
    )
    add_json(parser, "print one JSON document: the module, or the file and its changes")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.typed.types_command import types

    return types(options)
