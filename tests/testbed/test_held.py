"""The leak check names each kind of resource that a test file may leave, and waits for those that are ending."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.testbed.held import Held, left_since

ENOUGH = 30.0


@pytest.fixture
def before(tmp_path: Path) -> Held:
    return Held.now(tmp_path)


def left(before: Held, folder: Path, seconds: float = 0.0) -> list[str]:
    return left_since(before, lambda: Held.now(folder), seconds)


def test_the_leak_check_reports_nothing_if_nothing_was_opened(before: Held, tmp_path: Path) -> None:
    assert left(before, tmp_path) == []


def test_the_leak_check_names_an_open_file_by_its_path(before: Held, tmp_path: Path) -> None:
    path = Path(__file__)
    with path.open("rb") as file:
        assert left(before, tmp_path) == [f"file {file.fileno()}: {path}"]
    assert left(before, tmp_path) == []


def test_the_leak_check_reports_a_socket_with_the_descriptor_of_a_closed_one(tmp_path: Path) -> None:
    with socket.socket() as first:
        number, before = first.fileno(), Held.now(tmp_path)
    with socket.socket() as second:
        assert second.fileno() == number
        assert left(before, tmp_path) == [
            words for words in Held.now(tmp_path).files.values() if f" {number}:" in words
        ]
        assert "socket" in left(before, tmp_path)[0]


@pytest.mark.parametrize("daemon", [False, True])
def test_the_leak_check_names_a_running_thread(before: Held, tmp_path: Path, daemon: bool) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten", daemon=daemon)
    thread.start()
    try:
        assert left(before, tmp_path) == ["thread forgotten" + " (daemon)" * daemon]
    finally:
        end.set()
        thread.join()


def test_the_leak_check_waits_for_a_thread_that_is_ending(before: Held, tmp_path: Path) -> None:
    end = threading.Event()
    threading.Thread(target=end.wait).start()
    threading.Timer(0.1, end.set).start()
    assert left(before, tmp_path, ENOUGH) == []


def test_the_leak_check_names_a_child_process_until_it_is_waited_for(before: Held, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "me"], stdin=subprocess.PIPE) as child:
        (process,) = (words for words in left(before, tmp_path) if words.startswith("process"))
        assert process == f"process {child.pid}: {sys.executable} -c input() me"
    assert left(before, tmp_path) == []


def test_the_leak_check_names_a_temporary_file(before: Held, tmp_path: Path) -> None:
    path = Path(tempfile.mkdtemp(dir=tmp_path))
    assert left(before, tmp_path) == [f"temporary: {path}"]
