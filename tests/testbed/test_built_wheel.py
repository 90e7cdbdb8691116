"""The check of the wheel reports missing and surplus files, and finds the README's first program."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

import fal_async
from tests.testbed.built_wheel import ROOT, first_program, relative_links, tag_of, wrong_files
from tests.testbed.lowest import lowest_versions

PACKAGE = Path(fal_async.__file__).parent
COMPLETE = [
    path.relative_to(PACKAGE.parent).as_posix()
    for path in PACKAGE.rglob("*")
    if path.is_file() and path.suffix != ".pyc"
]
METADATA = "fal_async-0.1.0.dist-info/METADATA"


def test_a_complete_wheel_passes_the_check() -> None:
    assert wrong_files([*COMPLETE, METADATA], PACKAGE) == []


@pytest.mark.parametrize(
    "name", ["fal_async/py.typed", "fal_async/protocol/README.md", "fal_async/queue/client.py"]
)
def test_a_file_missing_from_the_wheel_is_named(name: str) -> None:
    assert name in COMPLETE
    assert wrong_files([one for one in COMPLETE if one != name], PACKAGE) == [f"missing: {name}"]


@pytest.mark.parametrize("name", ["tests/conftest.py", "fal_async/queue/client.pyc"])
def test_a_surplus_file_in_the_wheel_is_named(name: str) -> None:
    assert wrong_files([*COMPLETE, name], PACKAGE) == [f"surplus: {name}"]


def test_the_first_program_of_the_readme_is_its_whole_first_block() -> None:
    program = first_program((ROOT / "README.md").read_text(encoding="utf-8"))
    assert isinstance(ast.parse(program).body[0], ast.Import)
    assert program.endswith("asyncio.run(main())\n")


def test_a_relative_link_in_the_package_description_is_named() -> None:
    assert relative_links("[a](https://fal.ai) [b](fal_async/README.md#x) f[0](1)") == [
        "fal_async/README.md#x",
        "1",
    ]


def test_the_tag_of_a_wheel_is_v_and_its_version() -> None:
    assert (
        tag_of(Path(f"dist/fal_async-{fal_async.__version__}-py3-none-any.whl"))
        == f"v{fal_async.__version__}"
    )


def project(**extras: list[str]) -> Any:
    return {"dependencies": ["aiohttp>=3.12"], "optional-dependencies": extras}


def test_lower_bounds_of_requirements_become_pip_constraints() -> None:
    given = project(images=["pillow>=10"], ray=["ray[data]>=2.44.1"], all=["fal-async[images]"])
    assert list(lowest_versions(given)) == ["aiohttp==3.12", "pillow==10", "ray==2.44.1"]


@pytest.mark.parametrize("requirement", ["pillow", "pillow<11", "pillow>=10,<11"])
def test_a_requirement_without_a_plain_lower_bound_is_refused(requirement: str) -> None:
    with pytest.raises(ValueError, match=f"{requirement}: expected a lower bound"):
        list(lowest_versions(project(images=[requirement])))


def test_every_requirement_of_the_package_has_a_lower_bound() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]
    assert len(list(lowest_versions(declared))) >= 10
