"""The project's own English: phrases that readers had to read twice stay out, and test names explain themselves.

The rules are in `.github/CONTRIBUTING.md`. The list has phrases that the package was once full of.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.code_blocks import DOCUMENTS, FOLDERS, ROOT

SOURCES = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py") if path != Path(__file__))
TESTS = [path for path in SOURCES if path.name.startswith("test_")]
PHRASES = {
    r"(?<!there )(?<!which )\b(?:is|are|was|were) no (?!longer|more\b|other|such)[a-z]+": "is not a, there is no",
    r"\bwhoever\b|\bwho (?:waits|asks|receives|sends|reads)\b": "name the actor: the caller, the task, the session",
    r"\b(?:is|are|was|were) borne\b|\bbears? with\b|\bbears\b": "tolerates",
    r"\b(?:expected|is|not|of) a text\b(?! frame)|\ba whole number from\b": "a str, an int",
    r"\bnothing but\b": "only",
    r"\bof (?:its|their) own accord\b|\bin (?:its|their) midst\b": "automatically, in the middle",
    r"\b(?:is|are) (?:told|heard) (?:of|by|to)\b|\bhears? of\b": "is notified, is reported, learns",
    r"\bwhere there (?:is|are) none\b|(?-i:\bof none\b)": "if there is no ...",
}
"""Regular expressions, which ignore case, and what to write in their place."""
LENGTH, WORDS = 100, 4
"""Limits of a test's name: the most characters, and the fewest words after `test_`."""


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments and strings of a module with their lines."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) or token.type == getattr(
            tokenize, "FSTRING_MIDDLE", -1
        ):
            yield token.start[0], " ".join(token.string.split())


def dialect(texts: Iterator[tuple[int, str]]) -> list[str]:
    """Return each phrase of `PHRASES` with its line and what to write in its place."""
    return [
        f"line {line}: {found[0]!r}: {instead}"
        for line, text in texts
        for pattern, instead in PHRASES.items()
        for found in re.finditer(pattern, text, re.I)
    ]


def names_of_tests(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_comment_docstring_or_message_has_a_phrase_that_is_read_twice() -> None:
    found = {where(path): dialect(prose(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert {path: phrases for path, phrases in found.items() if phrases} == {}


def test_no_document_has_a_phrase_that_is_read_twice() -> None:
    found = {
        where(path): dialect(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
        for path in DOCUMENTS
        if path.name != "CONTRIBUTING.md"  # it lists them
    }
    assert {path: phrases for path, phrases in found.items() if phrases} == {}


def test_every_test_name_says_subject_condition_and_outcome_within_a_line() -> None:
    names = [
        (where(path), name) for path in TESTS for name in names_of_tests(path.read_text(encoding="utf-8"))
    ]
    assert [each for each in names if len(each[1]) > LENGTH] == []
    assert [each for each in names if len(each[1].split("_")) <= WORDS] == []


@pytest.mark.parametrize(
    "source",
    [
        "# Whoever waits",
        'x = "expected a text"',
        "def f():\n    '''It is no path,\n    and more.'''",
        'x = f"{1} is borne"',
        '"""A failure is\nborne."""',
    ],
)
def test_a_phrase_that_is_read_twice_is_reported_wherever_it_stands(source: str) -> None:
    assert len(dialect(prose(source + "\n"))) == 1


@pytest.mark.parametrize("source", ["is_no = whoever", "# It is no longer there.", "x = 'who waits_'"])
def test_names_in_code_and_similar_phrases_are_not_reported(source: str) -> None:
    assert dialect(prose(source + "\n")) == []
