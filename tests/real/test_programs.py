"""Programs that others wrote, with their own hosts, under `emulator exec`: scripts check what they receive."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.real.conftest import SCRIPTS, node_with, output_of, python_with
from tests.real.programs import NODE, PROGRAMS, Program

OPTIONS = ("--speed", "50", "--endpoints", SCRIPTS / "own_endpoints.toml")
RUNS = [
    pytest.param(program, run, id=" ".join((program.name, *run)))
    for program in PROGRAMS
    for run in program.runs
]


def command_of(program: Program, run: tuple[str, ...], workshop: Path) -> tuple[str | Path, ...]:
    script, *arguments = run
    if program.environment == NODE:
        return ("node", node_with(workshop) / "scripts" / script, *arguments)
    return (python_with(workshop, program.environment), SCRIPTS / "python" / script, *arguments)


@pytest.mark.parametrize(("program", "run"), RUNS)
async def test_a_program_of_others_does_its_work_with_the_emulator(
    program: Program, run: tuple[str, ...], workshop: Path, tmp_path: Path
) -> None:
    command = command_of(program, run, workshop)
    emulator = (sys.executable, "-m", "fal_async", "emulator", "exec", *OPTIONS, "--")
    out = await output_of(*emulator, *command, env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert out.splitlines()[-1] == "done", out
