"""Run a complete local fal: the queue, direct calls, files, and built-in models that draw, write and train.

When it starts, it prints what to copy for fal_async, fal-client, @fal-ai/client and curl. Ctrl-C or SIGTERM stops
it. `emulator exec -- COMMAND` runs a program against an emulator of its own, without a change in the program.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from fal_async.cli import listening
from fal_async.cli.argument_types import add_json
from fal_async.cli.emulator.emulator_arguments import add_state, configure_emulator, emulator_of, start_log
from fal_async.cli.messages import fail
from fal_async.cli.screen import has_colours
from fal_async.cli.verbs import Verb
from fal_async.emulator.defaults import DEFAULT_HOST, DEFAULT_PORT

PARTS = {
    "exec": Verb(
        "emulator.emulator_exec", "run a program so that its calls of fal lead to an emulator, without costs"
    ),
    "drift": Verb(
        "emulator.emulator_drift",
        "compare recordings of fal with what this emulator answers to the same calls",
    ),
}
"""What the verb does beside running an emulator."""
EXAMPLES = (
    "fal-async emulator --port 8765",
    "FAL_BASE_URL=http://127.0.0.1:8765 FAL_KEY=emulator:key fal-async run fal-ai/any-llm prompt=hello",
    "fal-async emulator --tls",
    "fal-async emulator --app shop:endpoints --endpoints models.toml",
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on (default: %(default)s)")
    configure_emulator(parser, port=DEFAULT_PORT, log="calls on a terminal, else none")
    parser.add_argument(
        "--tls",
        action="store_true",
        help="serve https, with a certificate for this machine and fal's host names",
    )
    add_state(parser, "on Ctrl-C and SIGTERM")
    add_json(parser, "print the address and the keys as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    import asyncio

    from fal_async.emulator.apps.hosted_application import StartError
    from fal_async.emulator.serve import serve
    from fal_async.emulator.serving.certificates import certificates_in

    try:
        with contextlib.ExitStack() as stack:
            certificates = None
            if options.tls or options.tls_folder is not None:
                made = options.tls_folder or stack.enter_context(tempfile.TemporaryDirectory("-fal-emulator"))
                certificates = certificates_in(Path(made), options.host, os.environ)
            emulator = emulator_of(options, certificates)
            start_log(emulator, options.access_log)
            colours = has_colours(sys.stdout)
            served = serve(
                emulator,
                certificates=certificates,
                colours=colours,
                as_json=options.json,
                state=options.state,
            )
            asyncio.run(served)
    except (ValueError, ModuleNotFoundError, StartError) as error:
        return fail("emulator", str(error))
    except OSError as error:
        return fail("emulator", listening.explained(error, options.host, options.port))
    return 0
