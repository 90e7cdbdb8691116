"""Watch a request run on a local fal.

A local fal starts, a request for four pictures goes through its queue, and the pictures are written to a folder.
Nothing leaves this machine, and no key is needed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

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


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    import asyncio

    from fal_async.cli.demo.demo_run import show
    from fal_async.cli.screen import Screen

    screen = Screen(sys.stdout, live=sys.stdout.isatty() and not options.plain)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)  # if it can't be made, fail before anything runs
        asyncio.run(show(screen, options.prompt, options.seed, options.folder))
    except (FalError, OSError) as error:
        screen.end()
        return fail("demo", str(error))
    return 0
