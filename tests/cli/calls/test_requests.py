"""The verbs for a request in the queue: submit, status, result, cancel, by its ids or by a stored handle."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import Shell

MODEL, PICTURES = "fal-ai/any-llm", "fal-ai/flux/dev"
SMALL = ("image_size[width]:=64", "image_size[height]:=64")


def submitted(shell: Shell, *words: str) -> str:
    """Submit a request, and return its handle as JSON."""
    done = shell.run("submit", *words, "--json")
    assert (done.status, done.err) == (0, "")
    return done.out


def busy(shell: Shell) -> str:
    """Submit a request whose model works until it is cancelled, and return its handle."""

    @shell.emulator.endpoint("me/busy", runners=1)
    async def model(input: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    return submitted(shell, "me/busy")


def test_submit_prints_only_the_request_id(shell: Shell) -> None:
    done = shell.run("submit", MODEL, "prompt=x")
    assert (done.status, done.err) == (0, "")
    assert [done.out] == [f"{request_id}\n" for request_id in shell.emulator.jobs]


def test_a_request_is_found_by_its_ids_by_its_handle_and_by_the_file_of_its_handle(
    shell: Shell, tmp_path: Path
) -> None:
    handle = submitted(shell, MODEL, "prompt=hello")
    file = tmp_path / "handle.json"
    file.write_text(handle)
    request_id = json.loads(handle)["request_id"]
    outputs = {
        shell.run("result", *words, "--wait", "-q").out
        for words in ([MODEL, request_id], [handle], [str(file)])
    }
    assert len(outputs) == 1
    assert 'You asked about \\"hello\\"' in outputs.pop()


def test_status_prints_the_state_of_a_request(shell: Shell) -> None:
    handle = submitted(shell, MODEL, "prompt=x")
    shell.run("result", handle, "--wait")
    assert shell.run("status", handle).out == "completed\n"
    document = shell.run("status", handle, "--json").document
    assert (document["status"], document["error"]) == ("COMPLETED", None)


def test_status_of_a_waiting_request_has_its_position(shell: Shell) -> None:
    busy(shell)
    waiting = [submitted(shell, "me/busy") for _ in range(2)][-1]
    assert shell.run("status", waiting).out == "in queue, 1 ahead\n"
    assert shell.run("status", waiting, "--json").document["position"] == 1


def test_status_follows_a_request_with_its_logs(shell: Shell) -> None:
    handle = submitted(shell, PICTURES, "prompt=x", *SMALL)
    done = shell.run("status", handle, "--follow", "--logs")
    assert (done.status, done.err, done.out.splitlines()[-1]) == (0, "", "completed")
    assert sum("/28" in line for line in done.out.splitlines()) > 20
    *_, last = shell.run("status", handle, "--follow", "--json").lines
    assert last["status"] == "COMPLETED"


def test_status_of_a_failed_request_exits_with_1(shell: Shell) -> None:
    handle = submitted(shell, PICTURES, "prompt=x", "num_images:=9")
    shell.run("status", handle, "--follow")
    done = shell.run("status", handle)
    assert (done.status, done.out.split(":")[0]) == (1, "failed")


def test_result_of_a_request_that_runs_is_an_error_and_waiting_may_have_a_limit(shell: Shell) -> None:
    handle = busy(shell)
    early = shell.run("result", handle)
    way_out = f"fal-async result me/busy {json.loads(handle)['request_id']} --wait"
    assert (early.status, way_out in early.err) == (1, True)
    done = shell.run("result", handle, "--wait", "--timeout", "0.1")
    assert (done.status, "may still run" in done.err) == (1, True)
    assert way_out in done.err
    assert [job.cancel_requests for job in shell.emulator.jobs.values()] == [0]
    assert shell.run("result", handle, "--timeout", "1").status == 2


def test_result_downloads_the_files_of_a_request(shell: Shell, tmp_path: Path) -> None:
    handle = submitted(shell, PICTURES, "prompt=x", *SMALL)
    done = shell.run("result", handle, "--wait", "--download", str(tmp_path / "out"))
    assert done.out.split() == [str(path) for path in (tmp_path / "out").iterdir()]


def test_cancel_says_what_became_of_the_request(shell: Shell) -> None:
    running = busy(shell)
    waiting = submitted(shell, "me/busy")
    done = shell.run("cancel", waiting)
    assert (done.status, done.out) == (0, "fal removed the request from the queue\n")
    assert shell.run("cancel", running, "--json").document["outcome"] == "CANCELLATION_REQUESTED"
    shell.run("status", running, "--follow")
    late = shell.run("cancel", running)
    assert (late.status, "has completed in the meantime" in late.out) == (1, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.json"], "missing.json: no such file: expected ENDPOINT and request id, or a handle"),
        (["{}"], "not a stored handle"),
        ([__file__], "not a stored handle"),
        (["a/b", "id", "more"], "3 words for one request"),
        (["a/b", "../x"], "../x"),
    ],
)
def test_words_that_name_no_request_exit_with_2(shell: Shell, words: list[str], told: str) -> None:
    done = shell.run("status", *words)
    assert (done.status, done.out, told in done.err) == (2, "", True), done.err


def test_a_request_that_fal_does_not_know_exits_with_1_and_says_where_to_look(shell: Shell) -> None:
    done = shell.run("status", MODEL, "00000000-0000-4000-8000-000000000000")
    assert (done.status, f"fal-async requests {MODEL}" in done.err) == (1, True)
