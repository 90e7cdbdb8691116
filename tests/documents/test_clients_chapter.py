"""The chapter on clients lists the programs that `make test-real` runs, with the same versions."""

from __future__ import annotations

from tests.documents.public_options import PACKAGE
from tests.real.programs import CHAPTER, PROGRAMS, table

SCRIPTS = PACKAGE.parent / "tests" / "real" / "scripts"


def test_the_chapter_has_a_row_for_each_program_that_runs_unmodified() -> None:
    text = (PACKAGE.parent / CHAPTER).read_text()
    section = text.partition("\n## Programs that run against it\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == table()


def test_each_script_of_a_program_exists() -> None:
    scripts = {script for program in PROGRAMS for script, *_ in program.runs}
    found = {file.name for folder in ("python", "node") for file in (SCRIPTS / folder).iterdir()}
    assert scripts <= found
