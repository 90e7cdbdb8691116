"""Parses the arguments of a verb, prints its help, and suggests what a mistyped word was probably meant to be."""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import NoReturn

from fal_async.cli.messages import say
from fal_async.cli.screen import has_colours
from fal_async.cli.verbs import parts_of

USAGE = 2
"""The exit status for wrong arguments (`exits.py`, which loads more than `--help` needs)."""


class Parser(argparse.ArgumentParser):
    """The parser of one verb.

    Options may stand before, between and after the other arguments. They can't be abbreviated, so that a script
    keeps its meaning when an option is added.
    """

    def __init__(self, prog: str, verb: ModuleType) -> None:
        self._takes_command = hasattr(verb, "TAKES_COMMAND")
        self._parts = parts_of(verb) or {}
        super().__init__(
            prog=prog,
            usage=f"{prog} [options] -- COMMAND [ARGUMENT ...]" if self._takes_command else None,
            description=wrapped(verb.__doc__ or ""),
            epilog=_parts(prog, verb) + _examples(verb.EXAMPLES),
            formatter_class=_formatter,
            allow_abbrev=False,
        )
        verb.configure(self)

    def parsed(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments. Raises SystemExit with status 2 if they are wrong, with 0 after `--help`."""
        own = words[: words.index("--")] if "--" in words else words
        if {"-h", "--help"} & set(own):
            # Not by argparse, whose help misses the usage of arguments that may be mixed.
            print(self.format_help(), end="", flush=True)
            sys.exit(0)
        self._check_options(own)
        options, rest = self.parse_known_intermixed_args(own if self._takes_command else words)
        if rest:
            self.error(f"unknown argument {rest[0]!r}{self._meant(rest[0])}")
        if self._takes_command:
            options.command = list(words[len(own) + 1 :])
        return options

    def error(self, message: str) -> NoReturn:
        """Print the mistake and where the arguments are explained, and raise SystemExit with status 2."""
        say(f"{self.prog}: {message}")
        say(f"{self.prog} --help shows the arguments, with examples")
        sys.exit(USAGE)

    def _check_options(self, words: Sequence[str]) -> None:
        """Report an unknown option before anything else, because its value looks like a further argument."""
        for word in words:
            name = word.partition("=")[0]
            if word.startswith("--") and name not in self._option_string_actions:
                self.error(f"unknown option {name}{suggestion(name[2:], self._long_options(), '--')}")

    def _meant(self, word: str) -> str:
        return ": put -- before the program" if self._takes_command else suggestion(word, self._parts)

    def _long_options(self) -> list[str]:
        return [name[2:] for name in self._option_string_actions if name.startswith("--")]


def wrapped(text: str) -> str:
    """Return a text whose paragraphs fit the terminal. Paragraphs with indented lines stay as they are."""
    width = min(shutil.get_terminal_size().columns - 2, 100)
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(each if "\n  " in each else textwrap.fill(each, width) for each in paragraphs)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Return a formatter with colours, if standard output can show them and rich-argparse is installed."""
    if not has_colours(sys.stdout) or importlib.util.find_spec("rich_argparse") is None:
        return argparse.RawDescriptionHelpFormatter(prog)
    from rich_argparse import RawDescriptionRichHelpFormatter

    class Formatter(RawDescriptionRichHelpFormatter):
        text_markup = False  # texts contain names such as image_size[width]
        help_markup = False

    return Formatter(prog)


def suggestion(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `: did you mean ...?`, with this prefix of the word, or "" if no known word is similar."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f": did you mean {prefix}{close[0]}?" if close else ""


def _parts(prog: str, verb: ModuleType) -> str:
    """Return the lines about the parts of a verb that also runs without one; "" for other verbs."""
    parts = parts_of(verb) or {}
    return "".join(f"{prog} {name}: {part.line} ({prog} {name} --help)\n\n" for name, part in parts.items())


def _examples(lines: Sequence[str]) -> str:
    return "\n".join([f"example{'s' * (len(lines) > 1)}:", *(f"  {line}" for line in lines)])
