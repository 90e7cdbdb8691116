"""The modules of all styles: their format, their types, and calls with them on the emulator."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fal_async import Session
from fal_async.emulator import Emulator
from tests.typegen.shapes import NAMES, SHAPES, Shape


def checked(folder: Path, *command: str) -> str:
    """Run a checker in the folder, and return what it reports: "" if it finds nothing."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def test_modules_have_the_format_of_ruff(folder: Path) -> None:
    assert checked(folder, "ruff", "format", "--isolated", "--diff", *names(folder)) == ""


def test_modules_pass_the_usual_rules_of_ruff(folder: Path) -> None:
    rules = "E4,E7,E9,F,I,UP,B,N8"
    assert checked(folder, "ruff", "check", "--isolated", "--select", rules, *names(folder)) == ""


def test_modules_and_programs_pass_strict_mypy(folder: Path) -> None:
    cache = f"--cache-dir={folder / 'cache'}"
    assert checked(folder, "mypy", "--strict", "--config-file=", cache, ".") == ""


def test_modules_of_all_styles_pass_pyright(folder: Path) -> None:
    assert checked(folder, "pyright", *names(folder)) == ""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("shapes_*.py"))


@pytest.fixture
def load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that imports a module of the folder."""

    def imported(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return imported


def answering(shape: Shape, received: dict[str, Any]) -> Callable[[Any], Awaitable[Any]]:
    async def answer(input: Any) -> Any:
        received[shape.endpoint_id] = input
        return shape.answer

    return answer


@pytest.mark.parametrize("style", ["attrs", "dataclass", "typeddict"])
async def test_inputs_are_sent_as_the_schema_says_and_outputs_come_back_typed(
    style: str, load: Callable[[str], ModuleType]
) -> None:
    received: dict[str, Any] = {}
    load(f"shapes_{style}")
    async with Emulator() as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        for shape in SHAPES:
            register = emulator.endpoint(
                shape.endpoint_id, input_schema=shape.input, output_schema=shape.output
            )
            register(answering(shape, received))
        outputs = await load(f"use_{style}").call_all(fal)
    assert received == {shape.endpoint_id: shape.sent for shape in SHAPES if shape is not NAMES}
    assert len(outputs) == len(received)
