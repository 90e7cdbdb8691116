"""The marker with which tests replay recordings, and make them, in separate pytest runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from fal_async.emulator.markers.cassette_marker import name_of
from tests.emulator.pytest_plugin.running import Run, run_pytest

THEIRS = (Path(__file__).parent / "users_recorded_tests.py").read_text()
COUNT = 7
FOLDERS = (
    "cassettes/test_theirs/TestText.test_error_is_caught",
    "cassettes/test_theirs/TestText.test_words",
    "cassettes/test_theirs/test_picture-a_b_-b9213889",
    "cassettes/test_theirs/test_picture-a_cat-836d743c",
    "cassettes/test_theirs/test_picture-ab",
    "cassettes/test_theirs/test_request_is_left_running",
    "shared",
)


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator that stands in for fal."""
    with Emulator(speed=50, plain_pictures=True, key="real:upstream-secret") as upstream:
        monkeypatch.setenv("UPSTREAM", upstream.url)
        monkeypatch.setenv("PROMPT", "why?")
        yield upstream


def run(folder: Path, *options: str) -> Run:
    return run_pytest(folder, *options, test_theirs=THEIRS)


def cassettes(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*.json") if path.parent.name != "files")
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_tests_record_once_and_replay_without_fal(
    upstream: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", upstream.key)
    recorded = run(tmp_path, "--fal-record", "-p", "xdist.plugin", "-n", "1")
    assert recorded.summary == f"{COUNT} passed", recorded.shown
    made = cassettes(tmp_path)
    assert [re.sub(r"/[^/]+/[^/]+$", "", name) for name in made] == sorted(FOLDERS)
    assert not [path for path in tmp_path.rglob("*.json") if "upstream-secret" in path.read_text()]
    count, runs = upstream.count(), upstream.count("run")
    assert runs

    monkeypatch.delenv("FAL_KEY")
    monkeypatch.setenv("PROMPT", "how?")
    replayed = run(tmp_path)
    assert replayed.summary == f"2 failed, {COUNT - 2} passed", replayed.shown
    assert upstream.count() == count
    for name in ("test_words", "test_error_is_caught"):
        report = replayed.shown.partition(f"TestText.{name} ")[2]
        assert "input.prompt: 'why?' recorded, 'how?' asked" in report.partition("\n____")[0]

    monkeypatch.setenv("FAL_KEY", upstream.key)
    monkeypatch.setenv("PROMPT", "why?")
    again = run(tmp_path, "--fal-record", "-k", "test_words")
    assert again.summary == f"1 passed, {COUNT - 1} deselected", again.shown
    assert upstream.count("run") == runs + 1
    changed = [name for name in cassettes(tmp_path) if name not in made]
    assert [re.sub(r"-\d+\.json$", "", name) for name in changed] == [
        name.removesuffix("-1.json") for name in made if "test_words" in name
    ]
    assert len(cassettes(tmp_path)) == len(made)


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("test_a", "test_a"),
        ("TestA::TestB::test_a[1-x]", "TestA.TestB.test_a-1-x"),
        ("test_a[x y]", "test_a-x_y-"),
        ("test_a[x/y]", "test_a-x_y-"),
        ("test_a[" + "x" * 300 + "]", "test_a-" + "x" * 93 + "-"),
    ],
)
def test_each_test_has_a_folder_name_of_its_own(test: str, name: str) -> None:
    made = name_of(test)
    assert made == name or (made.startswith(name) and len(made) == len(name) + 8)


def test_names_that_differ_in_unsafe_characters_have_other_folders() -> None:
    assert len({name_of(f"test_a[{char}]") for char in " /\\:*?<>|"}) == 9
