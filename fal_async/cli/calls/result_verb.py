"""Print the result of a request, as subscribe does.

REQUEST is the endpoint and the request id, or a handle: a file that `submit --json` made, its JSON text, or - for
standard input. A request that still runs is an error, unless --wait is given. Ctrl-C stops waiting, and the request
keeps running.
"""

from __future__ import annotations

import argparse

from fal_async.cli.calls import call_arguments

EXAMPLES = (
    "fal-async result fal-ai/flux/dev 8d3cf9f1-5f5c-4e0c-8d5f-0d3a0a6c5a6b --json",
    'fal-async submit fal-ai/flux/dev prompt="a cat" --json | fal-async result - --wait --download out/',
)


def configure(parser: argparse.ArgumentParser) -> None:
    call_arguments.add_request(parser)
    parser.add_argument(
        "--wait", action="store_true", help="wait until the request is completed, and show how it moves"
    )
    call_arguments.add_timeout(parser)
    call_arguments.add_logs(parser)
    call_arguments.add_output(parser)


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.calls.following_command import result

    return result(options)
