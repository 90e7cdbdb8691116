"""`fal-async emulator`, run as a separate process: its output, and its exit status."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fal_async
from fal_async.cli import main

LIMIT = 30.0
"""Seconds after which a hanging process fails the test."""


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "fal_async", "emulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def url_of(running: subprocess.Popen[str]) -> str:
    """Return the URL in the first line of its output. What to copy for clients follows."""
    assert running.stdout is not None
    url = running.stdout.readline().split()[3]
    shown = "".join(iter(running.stdout.readline, f"{url}/\n"))
    assert f"\nexport FAL_BASE_URL={url} FAL_KEY=" in shown
    assert "\x1b" not in shown
    return url


def run_model(url: str, key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Key {key}"} if key else {})
    asked = urllib.request.Request(f"{url}/fal.run/fal-ai/any-llm", b'{"prompt":"x"}', headers)
    with urllib.request.urlopen(asked, timeout=LIMIT) as answer:
        document: dict[str, str] = json.load(answer)
        return document


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_emulator_serves_until_a_signal_and_exits_with_0(number: signal.Signals) -> None:
    with process("--port", "0", "--key", "my:key", "--speed", "50") as running:
        url = url_of(running)
        assert run_model(url, "my:key")["output"]
        running.send_signal(number)
        out, err = running.communicate(timeout=LIMIT)
        assert (running.returncode, out, err) == (0, "", "")


def test_an_emulator_without_keys_serves_calls_without_a_key() -> None:
    with process("--port", "0", "--no-key", "--speed", "50") as running:
        assert run_model(url_of(running), None)["output"]


def test_options_of_accounts_and_retention_reach_the_emulator() -> None:
    accounts = "--account a:b --concurrency 2 --balance 0.50"
    memory = "--keep-jobs 5 --forget-after 60 --file-lifetime 60 --gone-status 410"
    options = f"{accounts} {memory}"
    with process("--port", "0", "--speed", "50", "--plain-pictures", *options.split()) as running:
        url = url_of(running)
        assert run_model(url, "a:b")["output"]
        with urllib.request.urlopen(f"{url}/_emulator/accounts", timeout=LIMIT) as answer:
            names = ("nickname", "concurrency", "balance")
            shown = [tuple(account[name] for name in names) for account in json.load(answer)]
        assert shown == [("emulator", 2, 0.5), ("a", 2, None)]


def test_one_key_for_two_accounts_exits_with_1_and_one_line() -> None:
    with process("--port", "0", "--account", "emulator:key") as running:
        _, err = running.communicate(timeout=LIMIT)
    assert (running.returncode, err.count("\n")) == (1, 1)


def test_a_port_in_use_exits_with_1_and_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process("--port", str(port)) as running:
            out, err = running.communicate(timeout=LIMIT)
    assert (running.returncode, out) == (1, "")
    assert err.count("\n") == 1
    assert f"port {port} is in use" in err
    assert "--port 0" in err


def test_a_foreign_address_exits_with_1_and_one_line() -> None:
    with process("--host", "192.0.2.1", "--port", "0") as running:
        _, err = running.communicate(timeout=LIMIT)
    assert running.returncode == 1
    assert err.startswith("fal-async emulator: can't listen on 192.0.2.1, port 0: ")
    assert err.count("\n") == 1


# The parts that `--help` shows as examples.

SHOP = """
def endpoints(emulator):
    @emulator.endpoint("me/hats")
    async def hats(input):
        return {"hats": 2}

async def without_weights(scope, receive, send):
    await send({"type": "lifespan.startup.failed", "message": "no weights"})

def wsgi(environ, start_response): ...
"""
APP = """
import os, urllib.request
for name in ("hats", "caps"):
    key = {"Authorization": "Key " + os.environ["FAL_KEY"]}
    asked = urllib.request.Request("https://fal.run/me/" + name, b"{}", key)
    print(urllib.request.urlopen(asked).read().decode())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "models.toml").write_text('[endpoints."me/caps"]\nanswer = { caps = 3 }\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(fal_async.__file__).parents[1]))
    return tmp_path


def test_tls_own_endpoints_and_the_access_log_work_together(folder: Path) -> None:
    own = ("--app", "shop:endpoints", "--endpoints", "models.toml", "--tls", "--access-log", "all")
    with process("--port", "0", "--json", *own) as running:
        assert running.stdout is not None
        started = json.loads(running.stdout.readline())
        trust = ssl.create_default_context(cafile=started["ca"])
        for name in ("hats", "caps"):
            key = {"Authorization": f"Key {started['key']}"}
            asked = urllib.request.Request(f"{started['url']}/fal.run/me/{name}", b"{}", key)
            with urllib.request.urlopen(asked, timeout=LIMIT, context=trust) as answer:
                assert name in json.load(answer)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=LIMIT)
    assert [line.split()[2:4] for line in err.splitlines()] == [["run", "me/hats"], ["run", "me/caps"]]
    assert started["key"] not in err
    assert not Path(started["ca"]).exists()


def test_exec_runs_a_program_with_endpoints_of_ones_own(folder: Path) -> None:
    with process(
        *("exec", "--app", "shop:endpoints", "--endpoints", "models.toml", "--", sys.executable, "app.py")
    ) as running:
        out, err = running.communicate(timeout=LIMIT)
    assert (running.returncode, out) == (0, '{"hats":2}\n{"caps":3}\n'), err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--app", "shop:no"), "fal-async emulator: --app shop:no: "),
        (
            ("--port", "0", "--app", "me/x=shop:without_weights"),
            "fal-async emulator: the mounted application failed to start: no weights",
        ),
        (
            ("exec", "--app", "me/x=shop:wsgi", "--", "true"),
            "--app me/x=shop:wsgi: wsgi does not take (scope, receive, send), and as a WSGI application must be "
            "wrapped: a2wsgi.WSGIMiddleware(app)",
        ),
        (("--endpoints", "no.toml"), "fal-async emulator: --endpoints no.toml: No such file"),
        (("exce",), "unknown argument 'exce': did you mean exec?"),
        (("exec", "python", "app.py"), "unknown argument 'python': put -- before the program"),
    ],
)
def test_a_wrong_argument_is_reported_with_the_way_out(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    with contextlib.suppress(SystemExit):
        assert main(["emulator", *words]) == 1
    assert told in capsys.readouterr().err


def test_the_state_is_saved_at_the_end_and_loaded_at_the_next_start(tmp_path: Path) -> None:
    world = tmp_path / "world"
    with process("--port", "0", "--state", str(world), "--account", "other:key") as running:
        url = url_of(running)
        assert (world / "state.json").exists()  # a folder that can't be used is noticed at the start
        run_model(url, "other:key")
        running.send_signal(signal.SIGTERM)
        assert running.wait(LIMIT) == 0
    with process("--port", "0", "--state", str(world), "--account", "other:key") as running:
        with urllib.request.urlopen(f"{url_of(running)}/_emulator/jobs", timeout=LIMIT) as answer:
            (job,) = json.load(answer)
        running.kill()
        running.wait(LIMIT)
    assert job["endpoint_id"] == "fal-ai/any-llm"
    assert [path.name for path in world.iterdir() if path.is_dir()] == ["saved-2"]


def test_a_folder_that_is_no_saved_state_ends_the_emulator_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["emulator", "--port", "0", "--state", str(tmp_path)]) == 1
    assert "is not a saved state" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
