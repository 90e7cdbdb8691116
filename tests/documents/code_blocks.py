"""The code blocks of the documents, and how each is run: a comment before a block says so.

- `<!-- run: script -->` and `<!-- run: snippet -->` (within a session): `test_readme.py`
- `<!-- run: console -->` (commands, and what they print): `test_console.py`
- `<!-- run: NAME -->` with another name: `test_recipes.py`, `test_programs.py`, `engines/` or `tests/workers`
- `<!-- no-run: REASON -->`
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
FOLDERS = ("fal_async", "tests", "benchmarks", ".github")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
)
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
_BLOCK = re.compile(
    r"^(?:<!-- (?P<how>run: \w+|no-run: .+?) -->\n)?```(?P<lang>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)
_WRAPPED = """import asyncio

from fal_async import *


async def main() -> None:
{body}


asyncio.run(main())
"""


@attrs.frozen
class Block:
    document: str
    line: int
    how: str
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.document}, line {self.line}"

    @property
    def program(self) -> str:
        """As a module: what a document leaves out, as it has been said once, is around it."""
        if self.how == "run: snippet":
            return _wrapped("async with Session() as fal:\n" + textwrap.indent(self.code.rstrip(), " " * 4))
        return _wrapped(self.code.rstrip()) if self.how == "run: notebook" else self.code


def _wrapped(code: str) -> str:
    return _WRAPPED.format(body=textwrap.indent(code, " " * 4))


def without_blocks(text: str) -> str:
    """Return a document without its code blocks."""
    return _FENCED.sub("", text)


def blocks(document: Path) -> Iterator[Block]:
    text, name = document.read_text(encoding="utf-8"), document.relative_to(ROOT).as_posix()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(name, line, match["how"] or "", match["lang"], match["code"])


PYTHON = [block for document in DOCUMENTS for block in blocks(document) if block.language == "python"]


def blocks_of(document: str, *ways: str) -> dict[str, Block]:
    """The blocks of a document that are run in these ways: one of each."""
    found = {block.how: block for block in PYTHON if block.document == document}
    return {way: found[f"run: {way}"] for way in ways}


def javascript_of(document: str) -> str:
    """The one block of JavaScript in a document."""
    (found,) = [block.code for block in blocks(ROOT / document) if block.language == "js"]
    return found


def environment(**variables: str) -> dict[str, str]:
    """For a process that runs a block: this tree, and nothing of the developer's own fal or proxies."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FAL_") and not name.lower().endswith("_proxy")
    }
    return {**own, "PYTHONPATH": str(ROOT), **variables}


@contextmanager
def emulator_process(*arguments: str) -> Iterator[str]:
    """The URL of a local fal in a process of its own, as the README tells its reader to start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fal_async", "emulator", "--port", "0", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield process.stdout.readline().split()[3]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
