"""The command line: `python -m fal_async VERB`, also installed as `fal-async`.

Each verb has a module with its name, which is imported only when the verb is used. The module has two functions:
`configure(parser)` adds the verb's arguments, and `run(options)` runs the verb and returns the exit status. The
docstring of the module is the description in `VERB --help`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Sequence

from fal_async.version import __version__

PROGRAM = "fal-async"
VERBS = {
    "batch": "send the inputs in a file to an endpoint, and pay for each once: run, status, uncertain, export",
    "demo": "watch a request for four pictures run on a local fal, without a key or costs",
    "emulator": "run a complete local fal to develop and test against, without a key or costs",
    "ledger": "make the tables of a ledger in PostgreSQL, or migrate them: schema, migrate",
    "proxy": "run a proxy for fal's browser clients that keeps your key on the server",
}
"""Each verb, with its line in `--help`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments, without the program's name. None (default): `sys.argv[1:]`.

    Returns:
        The exit status: 0 for success, 1 for a failure (a line on standard error has the reason), 130 after Ctrl-C.
        `batch` and `ledger` have further statuses (`cli/exits.py`).

    Raises:
        SystemExit: raised by argparse, with status 0 after `--help` and `--version`, 2 for wrong arguments.
    """
    given = _parser().parse_args(sys.argv[1:] if argv is None else argv)
    verb = importlib.import_module(f"{__name__}.{given.verb}")
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {given.verb}", description=verb.__doc__)
    verb.configure(parser)
    try:
        code: int = verb.run(parser.parse_args(given.arguments))
    except KeyboardInterrupt:
        return 130
    return code


def fail(verb: str, message: str) -> int:
    """Print one line on standard error, and return the exit status for a failure."""
    say(f"{PROGRAM} {verb}: {message}")
    return 1


def say(line: str) -> None:
    """Print a line on standard error. If standard error is closed or can't be written, nothing is printed."""
    if sys.stderr is not None:  # if it is None, because it is closed, `print` would write to standard output
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, VERBS)) + 2
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="The asyncio-native SDK for fal.ai, from the command line.",
        epilog="verbs:\n" + "".join(f"  {name:{width}}{line}\n" for name, line in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument(
        "verb", choices=VERBS, metavar="VERB", help="what to do; VERB --help shows its arguments"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments of the verb")
    return parser
