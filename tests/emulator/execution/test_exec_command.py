"""`fal-async emulator exec` as a process: streams, exit statuses, signals, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from fal_async.cli import main
from fal_async.emulator.execution.launcher import ProgramError
from tests.emulator.execution.programs import EXEC, ran, said, started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="emulator exec is for Unix")


async def test_streams_and_the_exit_status_are_those_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = ["sh", "-c", "cat; echo problem >&2; exit 7"]
    status, out, err = await said(["--json", "--", *program], b"typed")
    first, *rest = err.splitlines()
    assert (status, out, rest) == (7, "typed", ["problem"])
    assert json.loads(first)["url"].startswith("https://127.0.0.1:")
    assert list(tmp_path.iterdir()) == []


async def test_an_emulator_within_an_emulator_serves_the_inner_program() -> None:
    program = "import urllib.request as r; print(r.urlopen('https://fal.run/_emulator').status)"
    ask = [sys.executable, "-c", program.replace("fal.run/_emulator", "api.fal.ai/v1/models")]
    status, out, err = await said(["--", *EXEC, "--key", "inner:key", "--", *ask])
    assert (status, out) == (0, "200\n"), err
    assert [line.rpartition("(key ")[2] for line in err.splitlines()] == ["emulator:key)", "inner:key)"]


async def test_a_program_that_a_signal_ends_has_the_exit_status_of_a_shell() -> None:
    assert (await ran("sh", "-c", "kill -9 $$")).status == 137


async def test_sigterm_is_passed_on_and_the_emulator_stays_until_the_program_ends() -> None:
    program = """
import signal, sys, urllib.request
signal.signal(signal.SIGTERM, lambda *_: print("got it", flush=True))
print("ready", flush=True)
sys.stdin.readline()
print(urllib.request.urlopen("https://api.fal.ai/v1/models").status)
sys.exit(3)
"""
    async with started("--", sys.executable, "-c", program) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert await process.stdout.readline() == b"got it\n"
        out, _ = await process.communicate(b"\n")
    assert (process.returncode, out) == (3, b"200\n")


async def test_an_interrupt_without_a_terminal_is_passed_on() -> None:
    """In a terminal, Ctrl-C reaches the program without this."""
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); print(flush=True); signal.pause()"
    async with started("--", sys.executable, "-c", program) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"\n"
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 130


@pytest.mark.parametrize(("command", "status"), [("/no/such/program", 127), ("/etc/passwd", 126)])
async def test_a_program_that_cannot_be_started_has_the_exit_status_of_a_shell(
    command: str, status: int
) -> None:
    with pytest.raises(ProgramError) as caught:
        await ran(command)
    assert (caught.value.status, str(caught.value).split(":")[0]) == (status, command)


def test_a_missing_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulator", "exec", "--speed", "2"]) == 2
    assert "-- python app.py" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["emulator", "exec", "python"])
