"""Watch a request run on a local fal.

A local fal starts, a request for four pictures goes through its queue, and the pictures are written to a folder.
Nothing leaves this machine, and no key is needed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fal_async.cli.argument_types import add_json
from fal_async.cli.messages import fail
from fal_async.errors import FalError

PROMPT = "a lighthouse of glass above a violet sea, at dawn"


EXAMPLES = ("fal-async demo --folder pictures",)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    default = "(default: %(default)s)"
    add("--prompt", default=PROMPT, help="what to draw (the local model only uses it as a part of its seed)")
    add("--seed", type=int, default=6252023, help=f"the same seed gives the same pictures {default}")
    add("--folder", type=Path, default=Path("demo-output"), help=f"folder for the pictures {default}")
    add("--plain", action="store_true", help="print plain lines, as without a terminal")
    add_json(parser, "print the result as one JSON document, and everything else on standard error")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    import asyncio

    from fal_async.cli.calls.result_output import document_of
    from fal_async.cli.demo.demo_run import show
    from fal_async.cli.output import put
    from fal_async.cli.screen import Screen, is_live

    out = sys.stderr if options.json else sys.stdout
    screen = Screen(out, live=is_live(out) and not options.plain)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)  # if it can't be made, fail before anything runs
        result, paths = asyncio.run(show(screen, options.prompt, options.seed, options.folder))
    except (FalError, OSError) as error:
        screen.end()
        return fail("demo", str(error))
    if options.json:
        put(document_of(result, paths))
    return 0
