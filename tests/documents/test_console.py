"""The blocks `<!-- run: console -->` of the documents: each command prints what the document shows."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.documents.code_blocks import DOCUMENTS, Block, blocks, emulator_process, environment

CONSOLE = [block for document in DOCUMENTS for block in blocks(document) if block.how == "run: console"]
_STATUS = re.compile(r"\[(\d+)\]")


@attrs.frozen
class Command:
    """One command of a block.

    Attributes:
        line: the command.
        shown: the lines that it prints. `...` stands for any text in a line, or for any lines.
        status: its exit status, which a last line such as `[2]` shows; 0 without one.
    """

    line: str
    shown: list[str]
    status: int = 0

    @property
    def pattern(self) -> str:
        lines = [
            r"(.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
            for line in self.shown
        ]
        return "".join(lines)


def commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block.code, flags=re.M)[1:]:
        line, *shown = part.splitlines()
        status = _STATUS.fullmatch(shown[-1]) if shown else None
        yield Command(line, shown[:-1], int(status[1])) if status else Command(line, shown)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Make a folder with the program `fal-async`."""
    program = tmp_path / "bin" / "fal-async"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m fal_async "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.timeout(120)
@pytest.mark.parametrize("document", sorted({block.document for block in CONSOLE}))
def test_the_commands_of_a_document_print_what_it_shows(document: str, program: Path, tmp_path: Path) -> None:
    with emulator_process("--speed", "100", "--plain-pictures") as url:
        variables = environment(
            PATH=f"{program.parent}:/usr/bin:/bin", FAL_BASE_URL=url, FAL_KEY="emulator:key"
        )
        for block in (block for block in CONSOLE if block.document == document):
            for command in commands(block):
                done = subprocess.run(
                    ["sh", "-c", command.line],
                    cwd=tmp_path,
                    env=variables,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=60,
                )
                assert done.returncode == command.status, f"{block}: {command.line}\n{done.stdout}"
                assert re.fullmatch(command.pattern, done.stdout), f"{block}: {command.line}\n{done.stdout}"


def test_a_command_that_prints_something_else_is_noticed() -> None:
    block = Block("x.md", 1, "run: console", "console", "$ a\none ... three\n...\nend\n[2]\n$ b\n")
    first, second = commands(block)
    assert (first.line, first.status, second) == ("a", 2, Command("b", []))
    assert re.fullmatch(first.pattern, "one two three\nx\ny\nend\n")
    assert re.fullmatch(first.pattern, "one  three\nend\n")
    assert not re.fullmatch(first.pattern, "one two\nend\n")
    assert not re.fullmatch(second.pattern, "more\n")
