"""The checks at the end of a test and the network guard, in a separate pytest run."""

from __future__ import annotations

import ast
import operator
import re
from pathlib import Path

import pytest

from tests.emulator.pytest_plugin.running import Run, run_pytest

HERE = Path(__file__).parent
LINE = operator.attrgetter("lineno")
CHECKED, SHARED, GUARDED = (
    (HERE / f"users_{kind}_tests.py").read_text() for kind in ("checked", "shared", "guarded")
)
MARKED = """
import urllib.request, pytest

@pytest.mark.fal_verify
def test_checked(fal_emulator):
    fal_emulator.endpoint("me/model")(model)

def test_unchecked(fal_emulator):
    fal_emulator.endpoint("me/model")(model)

async def model(input): ...

@pytest.mark.fal_network_guard
def test_marked():
    urllib.request.urlopen("https://fal.run/")

def test_with_fixture(fal_network_guard):
    urllib.request.urlopen("https://fal.run/")

@pytest.mark.fal_verify(fault=False)
def test_misspelt(fal_emulator): ...
"""


def reports(shown: str) -> dict[str, str]:
    """Return the report of each failed test by its name."""
    parts = re.split(r"^_+ (?:ERROR at teardown of )?(?:\w+\.)?(test_\w+) _+$", shown, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def functions_of(text: str) -> list[ast.FunctionDef]:
    nodes = ast.walk(ast.parse(text))
    return [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of all of the user's files, with checks and guard."""
    files = {"test_checked": CHECKED, "test_shared": SHARED, "test_guarded": GUARDED}
    return run_pytest(
        tmp_path_factory.mktemp("theirs"), "--fal-network-guard", "-o", "fal_verify=true", **files
    )


def test_each_failed_check_fails_its_test_with_the_reason(done: Run) -> None:
    found = reports(done.shown)
    for test in functions_of(CHECKED):
        words = ast.get_docstring(test)
        assert (test.name in found) == (words is not None), done.shown
        assert words is None or words.rstrip(".") in found[test.name], found[test.name]
    assert "1 xfailed" in done.summary


def test_checks_of_a_shared_emulator_are_about_one_test(done: Run) -> None:
    assert not reports(done.shown).keys() & {test.name for test in functions_of(SHARED)}, done.shown


def test_each_call_of_the_real_fal_fails_its_test_with_its_line(done: Run) -> None:
    found = reports(done.shown)
    lines = [number for number, line in enumerate(GUARDED.splitlines(), 1) if line.endswith("# here")]
    failed = set()
    for number in lines:
        name = min(
            (t for t in functions_of(GUARDED) if t.end_lineno and number <= t.end_lineno), key=LINE
        ).name
        assert f"test_guarded.py:{number}" in found[name], found[name]
        failed.add(name)
    assert failed == found.keys() & {test.name for test in functions_of(GUARDED)}, done.shown
    assert "1 error" in done.summary  # that of the teardown


def test_markers_and_the_fixture_switch_on_what_they_name(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, test_theirs=MARKED)
    found = reports(done.shown)
    assert found.keys() == {"test_checked", "test_marked", "test_with_fixture", "test_misspelt"}, done.shown
    assert "fal_verify: the checks of the emulator failed:" in found["test_checked"]
    assert "fal.run is the real fal: the call at test_theirs.py:15 was stopped" in found["test_marked"]
    assert "unexpected keyword argument 'fault'" in found["test_misspelt"]


@pytest.mark.parametrize("option", ["--markers", "--help"])
def test_pytest_lists_what_the_plugin_offers(tmp_path: Path, option: str) -> None:
    shown = run_pytest(tmp_path, option).shown
    expected = {
        "--markers": ("@pytest.mark.fal_verify(faults=True", "@pytest.mark.fal_network_guard: "),
        "--help": ("--fal-verify", "--fal-network-guard", "fal_verify (bool)", "fal_network_guard (bool)"),
    }
    assert [words for words in expected[option] if words not in shown] == [], shown
