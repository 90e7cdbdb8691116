"""The fixtures in a separate pytest run, as for a user who has installed the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.emulator.pytest_plugin.running import ASYNCIO, PLUGIN, ROOT, run_pytest

HERE = Path(__file__).parent
THEIRS = (HERE / "users_async_tests.py").read_text()
NO_MARK = "pytestmark: Any = []"
SCOPES = ("function", "module", "session")


def marked(mark: str) -> str:
    assert NO_MARK in THEIRS
    return THEIRS.replace(NO_MARK, f"pytestmark = pytest.mark.{mark}")


def test_one_test_file_passes_under_every_loop_scope_and_under_anyio(tmp_path: Path) -> None:
    files = {f"test_{scope}": marked(f'asyncio(loop_scope="{scope}")') for scope in SCOPES}
    done = run_pytest(
        tmp_path, *ASYNCIO, "-p", "anyio", "--asyncio-mode=strict", test_anyio=marked("anyio"), **files
    )
    assert done.summary == f"{9 * (len(SCOPES) + 1)} passed", done.shown


def test_the_same_file_passes_in_auto_mode_under_xdist(tmp_path: Path) -> None:
    options = ("--asyncio-mode=auto", "-p", "xdist.plugin", "-n", "2")
    scopes = ("-o", "asyncio_default_test_loop_scope=session")
    done = run_pytest(tmp_path, *ASYNCIO, *options, *scopes, test_theirs=THEIRS)
    assert done.summary == "9 passed", done.shown


def test_synchronous_tests_use_the_fixtures_without_another_plugin(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, test_theirs=(HERE / "users_sync_tests.py").read_text())
    assert done.summary == "10 passed", done.shown


def test_the_package_registers_the_plugin_as_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"fal_async": PLUGIN}
