"""Submit a request to fal's queue, and print its request id, without waiting for the result.

With --json the handle is printed, which status, result and cancel take from a file or from standard input.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json
from fal_async.cli.calls import call_arguments

EXAMPLES = (
    'fal-async submit fal-ai/flux/dev prompt="a cat" --json > handle.json',
    'fal-async submit fal-ai/flux/dev prompt="a cat" --priority low --tag team=art',
)


def configure(parser: argparse.ArgumentParser) -> None:
    call_arguments.add_input(parser)
    call_arguments.add_options(parser, queue=True)
    call_arguments.add_key(parser)
    add_json(parser, "print the handle of the request as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.calls.queue_commands import submit

    return submit(options)
