"""Every Python block of the documents runs, against an emulator in another process, and passes mypy --strict."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("fal_async", "tests", "benchmarks", ".github")
DOCUMENTS = sorted(
    [ROOT / "README.md", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
)
_BLOCK = re.compile(
    r"^(?:<!-- (?P<how>run: \w+|no-run: .+?) -->\n)?```(?P<lang>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)


@attrs.frozen
class Block:
    document: str
    line: int
    how: str
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.document}, line {self.line}"


def blocks(document: Path) -> Iterator[Block]:
    text, name = document.read_text(encoding="utf-8"), document.relative_to(ROOT).as_posix()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(name, line, match["how"] or "", match["lang"], match["code"])


PYTHON = [block for document in DOCUMENTS for block in blocks(document) if block.language == "python"]
PROGRESS = r"(fal-ai/\S+: \d+ of \d+ done.*\n)+"
SNIPPET = """import asyncio

from fal_async import *


async def main() -> None:
    async with Session() as fal:
{body}


asyncio.run(main())
"""


def program(block: Block) -> str:
    if block.how == "run: script":
        return block.code
    return SNIPPET.format(body=textwrap.indent(block.code.rstrip(), " " * 8))


@pytest.fixture(scope="module")
def emulator_url() -> Iterator[str]:
    """A local fal in a process of its own, as the README tells its reader to start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fal_async", "emulator", "--port", "0", "--speed", "20"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    yield first.split()[3]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    process.stdout.close()


def test_every_block_says_how_it_is_run() -> None:
    assert len(PYTHON) >= 10
    unsaid = [str(block) for block in PYTHON if not block.how]
    assert unsaid == [], f"{unsaid}: add <!-- run: script -->, <!-- run: snippet --> or a reason"


def test_all_documents_are_read() -> None:
    names = {document.relative_to(ROOT).as_posix() for document in DOCUMENTS}
    assert names >= {
        "README.md",
        "fal_async/README.md",
        "fal_async/protocol/README.md",
        "fal_async/guide/REFERENCE.md",
        "benchmarks/README.md",
        ".github/CONTRIBUTING.md",
    }


@pytest.mark.parametrize("block", [b for b in PYTHON if b.how.startswith("run")], ids=str)
def test_a_block_runs(block: Block, emulator_url: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(program(block))
    (tmp_path / "portrait.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a cat"}\n{"prompt": "a dog"}\n')
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FAL_")},
        "FAL_BASE_URL": emulator_url,
        "FAL_KEY": "emulator:key",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(tmp_path),  # some make a folder to keep
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"{block}:\n{done.stderr}"
    assert re.fullmatch(PROGRESS if "progress=True" in block.code else "", done.stderr)


@pytest.mark.timeout(300)
def test_blocks_pass_the_type_checker(tmp_path: Path) -> None:
    paths = []
    for number, block in enumerate(PYTHON):
        if block.how.startswith("run"):
            name = re.sub(r"\W+", "_", f"block {number} of {block}").lower()
            paths.append(tmp_path / f"{name}.py")
            paths[-1].write_text(program(block))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            *map(str, paths),
        ],  # of the package it knows all from `make lint`
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
