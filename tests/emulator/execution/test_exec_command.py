"""`fal-async emulator exec` as a process: streams, exit statuses, signals, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from fal_async.cli import main
from fal_async.emulator import Emulator
from fal_async.emulator.execution.launcher import ProgramError
from tests.emulator.execution.programs import EXEC, ran, started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="emulator exec is for Unix")


async def test_streams_are_those_of_the_program_and_signals_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emulator stays until the program ends, although that ignores SIGTERM, and leaves no file."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = """
import signal, sys, urllib.request
signal.signal(signal.SIGTERM, lambda *_: print("got it", flush=True))
signal.signal(signal.SIGINT, signal.SIG_DFL)
print(sys.stdin.readline(), end="", flush=True)
sys.stdin.readline()
print(urllib.request.urlopen("https://api.fal.ai/v1/models").status, file=sys.stderr, flush=True)
print("ready", flush=True)
signal.pause()
"""
    async with started("--json", "--", sys.executable, "-c", program) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"typed\n")
        assert await process.stdout.readline() == b"typed\n"
        process.send_signal(signal.SIGTERM)
        assert await process.stdout.readline() == b"got it\n"
        process.stdin.write(b"\n")
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)  # there is no terminal, which would send it to the program, too
        out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    first, *rest = err.splitlines()
    assert json.loads(first)["url"].startswith("https://127.0.0.1:")
    assert rest == [b"200"]
    assert list(tmp_path.iterdir()) == []


async def test_an_emulator_within_an_emulator_serves_the_inner_program_and_saves_its_state(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ask = "import urllib.request as r; print(r.urlopen('https://api.fal.ai/v1/models').status)"
    inner = ("--key", "inner:key", "--state", str(tmp_path))
    done = await ran(*EXEC, *inner, "--", sys.executable, "-c", ask)
    assert (done.status, done.emulator.count()) == (0, 0)
    assert capfd.readouterr().out == "200\n"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["saved-2"]  # begin and end
    assert Emulator(state=tmp_path).key == "inner:key"


@pytest.mark.parametrize(("program", "status"), [("exit 7", 7), ("kill -9 $$", 137)])
async def test_the_exit_status_is_that_of_the_program_or_of_its_signal(program: str, status: int) -> None:
    assert (await ran("sh", "-c", program)).status == status


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
