"""The command line: `python -m fal_async VERB`, also installed as `fal-async`.

How to add a verb:

1. A row in `verbs.py: TOPICS`: its name, its module, and its line in the overview.
2. Its module, which is imported only when the verb is used. The docstring is the description in `VERB --help`.
   `EXAMPLES` is a tuple of command lines that work; `--help` shows them and `tests/cli/test_examples.py` runs them.
   `configure(parser)` adds the arguments, with `argument_types.py`; `add_json` for `--json`, which every verb has.
   `run(options)` runs the verb and returns the exit status (`exits.py`). Imports of what `--help` does not need,
   such as asyncio, are inside `run`. A verb with parts has only the docstring and `PARTS`, in the
   form of `VERBS`; `emulator` has both.
   A verb with `TAKES_COMMAND` gets the words after `--` as `options.command`.
3. Its table in `fal_async/REFERENCE.md`.

What `run` uses: `command.py: run_command` opens the session, runs a coroutine with it until it ends or Ctrl-C is
pressed, and prints errors with the way out. `output.py: put` prints JSON and `put_line` text on standard output,
which is for results only. `messages.py: say` prints a line for people on standard error. `screen.py` says whether a
stream is a terminal that can show colours and live displays.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from fal_async.cli.completion import complete
from fal_async.cli.messages import PROGRAM, say
from fal_async.cli.parsers import USAGE, Parser, suggestion, wrapped
from fal_async.cli.screen import bold
from fal_async.cli.verbs import TOPICS, VERBS, Verb, is_runnable, parts_of
from fal_async.version import __version__

__all__ = ["VERBS", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments, without the program's name. None (default): `sys.argv[1:]`.

    Returns:
        The exit status: see `exits.py`.

    Raises:
        SystemExit: raised with status 0 after `VERB --help`, 2 for wrong arguments of a verb.
    """
    if "_ARGCOMPLETE" in os.environ:
        complete()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        return _run(PROGRAM, VERBS, words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # of a help text; verbs report it themselves
        from fal_async.cli.output import forget_standard_output

        forget_standard_output()
        return 1


def overview() -> str:
    """Return the text of `fal-async` without arguments: the verbs by topic."""
    width = max(map(len, VERBS)) + 2
    lines = ["The asyncio-native SDK for fal.ai, from the command line.", ""]
    lines += [f"{bold('usage:')} {PROGRAM} VERB ...", ""]
    for topic, verbs in TOPICS.items():
        if verbs:
            lines += [
                bold(f"{topic}:"),
                *(f"  {name:{width}}{verb.line}" for name, verb in verbs.items()),
                "",
            ]
    return "\n".join(
        [*lines, f"{PROGRAM} VERB --help shows its arguments, with examples; --version the version."]
    )


def _run(prog: str, verbs: Mapping[str, Verb], words: Sequence[str]) -> int:
    name = words[0] if words else ""
    if verbs is VERBS and name in ("", "-h", "--help"):
        print(overview(), flush=True)
        return 0
    if verbs is VERBS and name == "--version":
        print(f"{PROGRAM} {__version__}", flush=True)
        return 0
    if name not in verbs:
        return _unknown(prog, name, verbs)
    module = verbs[name].load()
    parts = parts_of(module)
    if is_runnable(module) and words[1:2] not in [[part] for part in parts or ()]:
        code: int = module.run(Parser(f"{prog} {name}", module).parsed(words[1:]))
        return code
    if parts is None:
        raise RuntimeError(f"{module.__name__} has neither run nor PARTS")
    if words[1:2] in (["-h"], ["--help"]):
        print(_parts_help(f"{prog} {name}", module.__doc__ or "", parts), flush=True)
        return 0
    return _run(f"{prog} {name}", parts, words[1:])


def _parts_help(prog: str, description: str, parts: Mapping[str, Verb]) -> str:
    width = max(map(len, parts)) + 2
    lines = [f"{bold('usage:')} {prog} PART ...", "", wrapped(description), "", bold("parts:")]
    lines += [f"  {name:{width}}{part.line}" for name, part in parts.items()]
    return "\n".join(
        [*lines, "", bold("examples:"), *(f"  {part.load().EXAMPLES[0]}" for part in parts.values())]
    )


def _unknown(prog: str, name: str, verbs: Mapping[str, Verb]) -> int:
    found = suggestion(name, verbs)
    what = f"{name!r} is not one of its verbs" if name else "a verb is missing"
    say(f"{prog}: {what}{found or ': ' + ', '.join(verbs)}")
    say(f"{prog} --help lists them")
    return USAGE
