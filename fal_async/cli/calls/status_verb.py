"""Print the status of a request: its position in the queue, its log lines, or its error.

REQUEST is the endpoint and the request id, or a handle: a file that `submit --json` made, its JSON text, or - for
standard input. Ctrl-C stops following, and the request keeps running.

Exit status: 1 if the request failed, or if fal does not know it.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json
from fal_async.cli.calls import call_arguments

EXAMPLES = (
    "fal-async status fal-ai/flux/dev 8d3cf9f1-5f5c-4e0c-8d5f-0d3a0a6c5a6b",
    "fal-async status handle.json --follow --logs",
)


def configure(parser: argparse.ArgumentParser) -> None:
    call_arguments.add_request(parser)
    parser.add_argument(
        "--follow", action="store_true", help="print each change until the request is completed"
    )
    call_arguments.add_logs(parser)
    add_json(parser, "print the status as one JSON document; with --follow a line for each change")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.calls.queue_commands import status

    return status(options)
