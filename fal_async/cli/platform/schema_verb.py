"""Print the members of a model's input and output. It costs nothing and needs no API key."""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json

EXAMPLES = ("fal-async schema fal-ai/flux/dev", "fal-async schema fal-ai/flux/dev --json")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", metavar="ENDPOINT", help="endpoint id, such as fal-ai/flux/dev")
    add_json(parser, "print the JSON schemas of the input and the output as one document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.platform.schema_command import schema

    return schema(options)
