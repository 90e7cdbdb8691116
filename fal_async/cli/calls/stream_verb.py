"""Print what a model sends while it works: text as it grows, everything else as a line of JSON for each event.

There is no queue. Ctrl-C closes the connection; most models then stop working.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json, seconds
from fal_async.cli.calls import call_arguments

EXAMPLES = (
    'fal-async stream fal-ai/any-llm prompt="Tell me a story"',
    'fal-async stream fal-ai/any-llm prompt="Tell me a story" --json',
)


def configure(parser: argparse.ArgumentParser) -> None:
    call_arguments.add_input(parser)
    parser.add_argument(
        "--path", default="/stream", help="path that is added to the endpoint id (default: %(default)s)"
    )
    call_arguments.add_options(parser, queue=False)
    parser.add_argument(
        "--idle-timeout",
        type=seconds,
        metavar="SECONDS",
        help="end with an error if the model sends nothing for this time (default: 300)",
    )
    add_json(parser, "print each event as a line of JSON")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.calls.direct_commands import stream

    return stream(options)
