"""Submit a request to fal's queue, show how it moves, and print its result.

Ctrl-C cancels the request on fal, and prints what became of it. With --idempotency-key the request keeps running,
and the same command continues to wait for it. The request id is printed on standard error as soon as it is known.
"""

from __future__ import annotations

import argparse

from fal_async.cli.calls import call_arguments

EXAMPLES = (
    'fal-async subscribe fal-ai/flux/dev prompt="a cat" num_images:=4 --download out/',
    "fal-async subscribe fal-ai/clarity-upscaler image_url@cat.png prompt=@prompt.txt --logs",
    "fal-async subscribe fal-ai/flux/dev prompt=@prompt.txt --idempotency-key order-42 --ledger runs.db",
)


def configure(parser: argparse.ArgumentParser) -> None:
    call_arguments.add_input(parser)
    call_arguments.add_options(parser, queue=True)
    call_arguments.add_timeout(parser)
    call_arguments.add_key(parser)
    call_arguments.add_logs(parser)
    call_arguments.add_output(
        parser, "print the result as one JSON document; with --logs a line of JSON for each update before it"
    )


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.calls.following_command import subscribe

    return subscribe(options)
