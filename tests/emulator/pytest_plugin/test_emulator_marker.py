"""The markers that choose the emulator of a test, in separate pytest runs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.emulator.pytest_plugin.running import ASYNCIO, run_pytest

THEIRS = (Path(__file__).parent / "users_marked_tests.py").read_text()
WRONG = """
import pytest
from fal_async.emulator import Emulator

mark = pytest.mark.fal_emulator

@mark(clok="auto")
def test_near_name(fal_emulator): ...

@mark(fixture=1)
def test_unknown_name(fal_emulator): ...

@mark("auto")
def test_without_name(fal_emulator): ...

@mark(clock="virtual")
def test_wrong_value(fal_emulator): ...

@mark(speed="fast")
def test_wrong_type(fal_emulator): ...

@mark(clock="auto", speed=2)
def test_speed_of_virtual_time(fal_emulator): ...

@mark(state="missing")
def test_missing_state(fal_emulator): ...

cassette = pytest.mark.fal_cassette

@cassette(missin="strict")
def test_cassette_name(fal_emulator): ...

@cassette(missing="no")
def test_cassette_value(fal_emulator): ...

@cassette("a", "b")
def test_cassette_folders(fal_emulator): ...

@cassette(3)
def test_cassette_number(fal_emulator): ...

@cassette("broken")
def test_cassette_broken(fal_emulator): ...

@cassette
def test_cassette_without_key(fal_emulator): ...

class TestOther:
    @pytest.fixture
    def fal_emulator(self):
        return Emulator()

    @pytest.fixture
    def other(self, fal_emulator): ...

    @cassette
    def test_replaced_cassette(self, fal_emulator): ...

    @mark(clock="auto")
    def test_replaced_fixture(self, other, fal_emulator): ...
"""
EXPECTED = {
    "near_name": "@pytest.mark.fal_emulator(clok=...): Emulator has no such argument; did you mean clock?",
    "unknown_name": "(fixture=...): Emulator has no such argument; it has host, port, key, ",
    "without_name": "@pytest.mark.fal_emulator('auto'): expected arguments with names, such as clock=\"auto\"",
    "wrong_value": "@pytest.mark.fal_emulator(clock='virtual'): clock='virtual': expected one of real, auto",
    "wrong_type": "@pytest.mark.fal_emulator(speed='fast'): '>' not supported between",
    "speed_of_virtual_time": "speed=2: virtual time (clock='auto') has no speed; leave it out",
    "missing_state": "@pytest.mark.fal_emulator(state='missing'): missing does not exist: expected a folder",
    "cassette_name": "@pytest.mark.fal_cassette(missin=...): the marker has no such argument; did you mean missing",
    "cassette_value": "@pytest.mark.fal_cassette: missing='no': expected one of",
    "cassette_folders": "@pytest.mark.fal_cassette('a', 'b'): expected one folder, or none",
    "cassette_number": "@pytest.mark.fal_cassette(3): expected the path of a folder",
    "cassette_broken": "b.json: format: 7",
    "cassette_without_key": "@pytest.mark.fal_cassette: recording needs an API key of fal: set FAL_KEY",
    "replaced_cassette": "@pytest.mark.fal_cassette has no effect, because another fixture replaces",
    "replaced_fixture": "@pytest.mark.fal_emulator has no effect, because another fixture replaces",
}


def test_markers_of_tests_classes_and_modules_choose_the_emulator(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, *ASYNCIO, test_theirs=THEIRS)
    assert done.summary == f"{THEIRS.count('def test_') + 1} passed", done.shown


def test_wrong_marker_fails_its_test_and_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "broken" / "a").mkdir(parents=True)
    (tmp_path / "broken" / "a" / "b.json").write_text('{"format": 7}')
    shown = run_pytest(tmp_path, "--fal-record", test_theirs=WRONG).shown
    parts = re.split(r"^_+ (?:ERROR at setup of )?(?:\w+\.)?test_(\w+) _+$", shown, flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert found.keys() == EXPECTED.keys(), shown
    for name, words in EXPECTED.items():
        assert words in found[name], found[name]
