"""Every Python block of the documents runs, against an emulator in another process, and passes mypy --strict."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.documents import test_programs, test_ray_chapter, test_recipes
from tests.documents.code_blocks import DOCUMENTS, PYTHON, ROOT, Block, emulator_process, environment
from tests.documents.engines import programs
from tests.workers import serve

HERE = ("run: script", "run: snippet")
ELSEWHERE = [
    *test_recipes.BLOCKS.values(),
    *test_programs.BLOCKS.values(),
    *test_ray_chapter.BLOCKS.values(),
    *serve.BLOCKS.values(),
    *programs.BLOCKS.values(),
]
"""Blocks that another file has a test of."""
PROGRESS = r"(fal-ai/\S+: \d+ of \d+ done.*\n)+"
RUN_EACH = """
import os, runpy, sys

for script in sys.argv[1:]:
    os.chdir(os.path.dirname(script))
    runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture(scope="module")
def emulator_url() -> Iterator[str]:
    with emulator_process("--speed", "100") as url:
        yield url


def test_every_block_says_how_it_is_run() -> None:
    assert len(PYTHON) >= 10
    unsaid = [str(block) for block in PYTHON if not block.how]
    assert unsaid == [], f"{unsaid}: add <!-- run: script -->, <!-- run: snippet --> or a reason"


def test_every_block_that_says_how_it_is_run_has_a_test() -> None:
    run = [block for block in PYTHON if block.how.startswith("run")]
    assert [str(block) for block in run if block.how not in HERE and block not in ELSEWHERE] == []


def test_all_documents_are_read() -> None:
    names = {document.relative_to(ROOT).as_posix() for document in DOCUMENTS}
    assert names >= {
        "README.md",
        "fal_async/README.md",
        "fal_async/REFERENCE.md",
        "fal_async/protocol/README.md",
        "benchmarks/README.md",
        ".github/CONTRIBUTING.md",
    }


def run(blocks: Sequence[Block], folder: Path, **variables: str) -> None:
    """Run blocks as programs, each in its own folder, without warnings and without output on standard error.

    One process runs all of them, because its start takes longer than most blocks.
    """
    scripts = [_script(block, folder / f"line {block.line}") for block in blocks]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN_EACH, *scripts],
        # TMPDIR: some make a folder to keep.
        env=environment(
            FAL_KEY="emulator:key", ADMIN_KEY="emulator-admin:key", TMPDIR=str(folder), **variables
        ),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{blocks[0].document}:\n{done.stderr}"
    expected = [PROGRESS for block in blocks if "progress=True" in block.code]
    assert re.fullmatch("".join(expected), done.stderr)


def _script(block: Block, folder: Path) -> Path:
    """Write a block as a script, with the files that some blocks read beside it."""
    folder.mkdir()
    (folder / "portrait.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / "prompts.jsonl").write_text('{"prompt": "a cat"}\n{"prompt": "a dog"}\n')
    script = folder / "block.py"
    script.write_text(block.program)
    return script


def here(*, database: bool) -> list[Block]:
    """Return the blocks that are run here: those that need a database, or those that need none."""
    return [block for block in PYTHON if block.how in HERE and ("DATABASE_URL" in block.code) == database]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("document", sorted({block.document for block in here(database=False)}))
def test_the_code_blocks_of_a_document_run(document: str, emulator_url: str, tmp_path: Path) -> None:
    blocks = [block for block in here(database=False) if block.document == document]
    run(blocks, tmp_path, FAL_BASE_URL=emulator_url)


@pytest.mark.parametrize("block", here(database=True), ids=str)
def test_a_code_block_with_a_database_runs(
    block: Block, emulator_url: str, database: str, tmp_path: Path
) -> None:
    run([block], tmp_path, FAL_BASE_URL=emulator_url, DATABASE_URL=database)


@pytest.mark.timeout(300)
def test_blocks_pass_the_type_checker(tmp_path: Path) -> None:
    paths = []
    for number, block in enumerate(PYTHON):
        if block.how.startswith("run"):
            name = re.sub(r"\W+", "_", f"block {number} of {block}").lower()
            paths.append(tmp_path / f"{name}.py")
            paths[-1].write_text(block.program)
    done = subprocess.run(
        # What mypy knows of the package stays from `make lint`.
        [sys.executable, "-m", "mypy", "--strict", *map(str, paths)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
