"""Print a script that completes verbs, options and files in bash, zsh or fish when you press the tab key.

It needs pip install 'fal-async[cli]'. Add the line of your shell to its start-up file:

  bash, ~/.bashrc                    eval "$(fal-async completion bash)"
  zsh, ~/.zshrc, after compinit      eval "$(fal-async completion zsh)"
  fish, ~/.config/fish/config.fish   fal-async completion fish | source
"""

from __future__ import annotations

import argparse
import importlib.util

from fal_async.cli.argument_types import add_json
from fal_async.cli.messages import PROGRAM, fail
from fal_async.cli.verbs import VERBS, Verb, is_runnable, parts_of

EXAMPLES = ('eval "$(fal-async completion bash)"',)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    add_json(parser, "print the script as a JSON document")


def run(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("argcomplete") is None:
        return fail("completion", "needs argcomplete: pip install 'fal-async[cli]'")
    from argcomplete.shell_integration import shellcode

    from fal_async.cli.output import put, put_line

    script = shellcode([PROGRAM], shell=options.shell).strip("\n")
    if options.json:
        put({"shell": options.shell, "script": script})
    else:
        put_line(script)
    return 0


def complete() -> None:
    """Answer the script, which calls the program with `_ARGCOMPLETE` in the environment, and exit."""
    if importlib.util.find_spec("argcomplete") is None:
        raise SystemExit(1)
    from argcomplete import autocomplete

    parser = argparse.ArgumentParser(prog=PROGRAM)
    verbs = parser.add_subparsers()
    for name, verb in VERBS.items():
        _add(verbs, name, verb)
    autocomplete(parser)


def _add(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, verb: Verb) -> None:
    parser, module = verbs.add_parser(name, help=verb.line), verb.load()
    parts = parts_of(module)
    if is_runnable(module):
        module.configure(parser)
    if parts is None:
        return
    inner = parser.add_subparsers()
    for part, row in parts.items():
        _add(inner, part, row)
