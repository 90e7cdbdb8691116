"""The command line: `python -m fal_async VERB`, also installed as `fal-async`.

One module per verb, of the verb's name, imported only when the verb is used. It has two functions:
`configure(parser)` adds its arguments, `run(options)` does it and gives the exit code.
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
    "batch": "run an endpoint over a file of inputs, each paid once: run, status, uncertain, export",
    "demo": "watch the main job happen on a local fal: four pictures, without a key or costs",
    "emulator": "run a complete local fal, to develop and test against without a key or costs",
    "proxy": "run a proxy that keeps the key, for fal's browser clients",
}
"""Each verb with its line in `--help`."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 well, 1 it failed (one line on standard error says why), 130 for Ctrl-C.

    `argv` without the program's name; default the process's own. SystemExit as usual in argparse:
    0 after `--help`, 2 for arguments that make no sense.
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
    """One line on standard error; the exit code for it."""
    say(f"{PROGRAM} {verb}: {message}")
    return 1


def say(line: str) -> None:
    """A line on standard error. Where it is closed or full, what is being done goes on without."""
    if sys.stderr is not None:  # closed: None would mean standard output to `print`
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
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="what to do; VERB --help says more")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the verb's own arguments")
    return parser
