"""Call a model directly, and print its output. There is no queue: use it for fast models, else subscribe.

Ctrl-C closes the connection, and fal may still bill the call.
"""

from __future__ import annotations

import argparse

from fal_async.cli.calls import call_arguments

EXAMPLES = (
    'fal-async run fal-ai/any-llm prompt="Say hello"',
    "fal-async run fal-ai/flux/schnell --input input.json 'image_size[width]:=512' --download out/",
)


def configure(parser: argparse.ArgumentParser) -> None:
    call_arguments.add_input(parser)
    call_arguments.add_options(parser, queue=False)
    call_arguments.add_timeout(parser)
    call_arguments.add_output(parser)


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.calls import direct_commands

    return direct_commands.run(options)
