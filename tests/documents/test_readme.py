"""Every code block of the README runs, against an emulator in a process of its own, and passes mypy --strict."""

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
_BLOCK = re.compile(
    r"^(?:<!-- (?P<how>run: \w+|no-run: .+?) -->\n)?```(?P<lang>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)


@attrs.frozen
class Block:
    line: int
    how: str
    language: str
    code: str


def blocks() -> list[Block]:
    text = (ROOT / "README.md").read_text()
    return [
        Block(text[: match.start()].count("\n") + 1, match["how"] or "", match["lang"], match["code"])
        for match in _BLOCK.finditer(text)
    ]


PYTHON = [block for block in blocks() if block.language == "python"]
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
    unsaid = [block.line for block in PYTHON if not block.how]
    assert unsaid == [], (
        f"README.md, line(s) {unsaid}: add <!-- run: script -->, <!-- run: snippet --> or a reason"
    )


@pytest.mark.parametrize(
    "block", [b for b in PYTHON if b.how.startswith("run")], ids=lambda b: f"line{b.line}"
)
def test_a_block_runs(block: Block, emulator_url: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(program(block))
    (tmp_path / "portrait.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FAL_")},
        "FAL_BASE_URL": emulator_url,
        "FAL_KEY": "emulator:key",
        "PYTHONPATH": str(ROOT),
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
    assert done.returncode == 0, f"README.md, line {block.line}:\n{done.stderr}"
    assert done.stderr == ""


def test_blocks_pass_the_type_checker(tmp_path: Path) -> None:
    paths = []
    for block in PYTHON:
        if block.how.startswith("run"):
            paths.append(tmp_path / f"readme_line_{block.line}.py")
            paths[-1].write_text(program(block))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *map(str, paths)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
