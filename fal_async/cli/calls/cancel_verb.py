"""Cancel a request on fal, and print what became of it.

REQUEST is the endpoint and the request id, or a handle: a file that `submit --json` made, its JSON text, or - for
standard input.

Exit status: 1 if the request was already completed, or if fal does not know it.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json
from fal_async.cli.calls import call_arguments

EXAMPLES = (
    "fal-async cancel fal-ai/flux/dev 8d3cf9f1-5f5c-4e0c-8d5f-0d3a0a6c5a6b",
    "fal-async cancel handle.json",
)


def configure(parser: argparse.ArgumentParser) -> None:
    call_arguments.add_request(parser)
    add_json(parser, "print the outcome as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.calls.queue_commands import cancel

    return cancel(options)
