"""The verbs that call a model: what they send, what they print, and how they fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fal_async.emulator import Fault
from tests.cli.shell import Done, Shell

TEXT_MODEL, PICTURES = "fal-ai/any-llm", "fal-ai/flux/dev"
SMALL = ("image_size[width]:=64", "image_size[height]:=64")


@pytest.fixture
def echo(shell: Shell) -> Callable[..., dict[str, Any]]:
    """Call a model that returns its input."""

    @shell.emulator.endpoint("me/echo")
    async def model(input: dict[str, Any]) -> dict[str, Any]:
        return input

    def call(*words: str) -> dict[str, Any]:
        done = shell.run("run", "me/echo", *words, "--json")
        assert (done.status, done.err) == (0, "")
        found: dict[str, Any] = done.document["data"]
        return found

    return call


# What is sent.


def test_items_of_each_form_reach_the_model(echo: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    text, document, picture = (tmp_path / name for name in ("prompt.txt", "loras.json", "cat.png"))
    text.write_bytes("\ufeffzwei\nZeilen".encode())
    document.write_text('[{"scale": 0.5}]')
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    sent = echo(
        "prompt=a cat", "n:=4", f"text=@{text}", f"loras:=@{document}", f"image_url@{picture}", *SMALL
    )
    url = sent.pop("image_url")
    assert url.endswith("/cat.png")
    assert sent == {
        "prompt": "a cat",
        "n": 4,
        "text": "zwei\nZeilen",
        "loras": [{"scale": 0.5}],
        "image_size": {"width": 64, "height": 64},
    }


def test_input_of_a_file_is_sent_and_items_replace_its_members(
    echo: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"prompt": "a dog", "seed": 1}')
    assert echo("--input", str(file)) == {"prompt": "a dog", "seed": 1}
    assert echo("prompt=a cat", "--input", str(file), "n:=2") == {"prompt": "a cat", "seed": 1, "n": 2}
    assert echo('{"prompt": "a dog"}', "n:=2") == {"prompt": "a dog", "n": 2}
    assert echo() == {}


def test_options_of_the_call_reach_fal(shell: Shell) -> None:
    done = shell.run(
        *("submit", TEXT_MODEL, "prompt=x", "--hint", "h", "--priority", "low", "--start-timeout", "60"),
        *("--tag", "team=art", "--tag", "order=7"),
    )
    assert done.status == 0
    job = shell.emulator.jobs[done.out.strip()]
    assert (job.options.hint, job.options.low_priority, job.options.start_timeout) == ("h", True, 60)
    assert "team=art,order=7" in job.headers.values()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["prompt"], "'prompt': expected name=text"),
        (["prompt=a", "prompt=b"], "prompt: given twice"),
        (["n:=four"], "n (for text, write n=...): not valid JSON at line 1, column 1"),
        (["image_url@missing.png"], "image_url@: no such file: missing.png (for text, write image_url=...)"),
        (["image_url@/"], "expected a file, but it is a folder"),
        (["prompt=@missing.txt"], "prompt=@: No such file or directory: missing.txt"),
        (["prompt:=@missing.json"], "prompt:=@: No such file or directory: missing.json"),
        (["--input", "missing.json"], "--input: No such file or directory: missing.json"),
        (["--input", __file__], "--input: not valid JSON at line 1, column 3"),
        (["{"], "the JSON object: not valid JSON"),
        (['{"a": 1}', '{"b": 1}'], "the whole input is given twice"),
        (['{"a": 1}', "--input", "x.json"], "the whole input is given twice"),
        (["--tag", "x"], "'x': expected NAME=VALUE"),
        (["--timeout", "0"], "expected seconds > 0"),
        (["--timout", "3"], "unknown option --timout: did you mean --timeout?"),
        (
            ["prompt=x", "num_image:=4", "--check", "required"],
            "unknown key 'num_image' (did you mean 'num_images'?)",
        ),
        (["num_images:=4", "--check", "required"], "prompt"),
        (["--idempotency-key", "k"], "--idempotency-key and --ledger belong together"),
        (["--ledger", "runs.db"], "--idempotency-key and --ledger belong together"),
    ],
)
def test_wrong_inputs_exit_with_2_and_a_message_and_nothing_is_sent(
    shell: Shell, words: list[str], told: str
) -> None:
    done = shell.run("subscribe", PICTURES, *words)
    assert (done.status, done.out, told in done.err) == (2, "", True), done.err
    assert len(done.err.splitlines()) <= 2
    assert not shell.emulator.jobs


def test_an_endpoint_that_is_none_exits_with_2_and_nothing_is_sent(shell: Shell) -> None:
    done = shell.run("run", "flux", "prompt=x")
    assert (done.status, "flux" in done.err, len(shell.emulator.jobs)) == (2, True, 0)


# What is printed.


def test_run_prints_the_output_as_json_that_a_person_can_read(shell: Shell) -> None:
    @shell.emulator.endpoint("me/model")
    async def model(input: dict[str, Any]) -> dict[str, Any]:
        return {"label": "größer 猫", "scores": [0.5]}

    done = shell.run("run", "me/model")
    assert done == Done(0, '{\n  "label": "größer 猫",\n  "scores": [\n    0.5\n  ]\n}\n', "")


def test_large_outputs_are_printed_whole(shell: Shell) -> None:
    @shell.emulator.endpoint("me/large")
    async def model(input: dict[str, Any]) -> dict[str, Any]:
        return {"text": "ä" * 3_000_000}

    assert len(json.loads(shell.run("run", "me/large").out)["text"]) == 3_000_000


def test_subscribe_shows_the_request_and_prints_the_names_of_its_files(shell: Shell, tmp_path: Path) -> None:
    done = shell.run(
        "subscribe", PICTURES, "prompt=a cat", "num_images:=2", *SMALL, "--download", str(tmp_path)
    )
    assert done.status == 0
    assert sorted(done.out.split()) == sorted(str(path) for path in tmp_path.iterdir())
    (request_id,) = shell.emulator.jobs
    first, *_, last = done.err.splitlines()
    assert (first, last) == (f"request {request_id}", "downloading 2 files")
    assert "completed after " in done.err


def test_logs_are_shown_among_the_changes_and_quiet_shows_nothing(shell: Shell) -> None:
    call = ("subscribe", PICTURES, "prompt=a cat", *SMALL)
    assert "28/28" in shell.run(*call, "--logs").err
    assert shell.run(*call, "--logs", "--quiet").err == ""


def test_json_of_subscribe_is_one_document_and_with_logs_a_line_for_each_update(shell: Shell) -> None:
    call = ("subscribe", PICTURES, "prompt=a cat", *SMALL, "--json")
    (request_id,) = [shell.run(*call).document["request_id"]]
    assert request_id in shell.emulator.jobs
    done = shell.run(*call, "--logs")
    *updates, last = done.lines
    assert {update["request_id"] for update in updates} == {last["request_id"]}
    assert updates[-1]["status"] == "COMPLETED"
    assert sum(len(update["logs"]) for update in updates) == len(last["logs"]) > 20
    assert (len(last["data"]["images"]), done.err) == (1, "")


def test_stream_prints_text_as_it_grows_or_each_value_as_a_line_of_json(shell: Shell) -> None:
    call = ("stream", TEXT_MODEL, "prompt=tell me")
    text, values = shell.run(*call), shell.run(*call, "--json").lines
    assert (text.status, text.err) == (0, "")
    assert text.out == values[-1]["output"] + "\n"
    assert len(values) > 3


def test_stream_prints_values_without_text_as_lines_of_json(shell: Shell) -> None:
    @shell.emulator.endpoint("me/steps")
    async def steps(input: dict[str, Any]) -> Any:
        yield {"step": 1}
        yield {"delta": "Hal"}
        yield {"delta": "lo"}
        yield {"step": 2}

    assert shell.run("stream", "me/steps").out == '{"step":1}\nHallo\n{"step":2}\n'


# How it fails.


def test_without_a_key_calls_exit_with_3_and_say_how_to_set_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAL_KEY")
    done = shell.run("run", TEXT_MODEL, "prompt=x")
    assert (done.status, "set the environment variable FAL_KEY" in done.err) == (3, True)
    assert "credentials=" not in done.err  # which the command line does not have


def test_a_key_that_fal_refuses_exits_with_3(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "wrong:secret")
    done = shell.run("subscribe", TEXT_MODEL, "prompt=x", "--json")
    assert (done.status, done.document["error"]["status"]) == (3, 401)
    assert "secret" not in done.err + done.out
    assert not shell.emulator.jobs


def test_a_locked_account_exits_with_3_and_says_where_to_pay(shell: Shell) -> None:
    shell.emulator.faults.add(Fault.balance(on="submit"))
    done = shell.run("subscribe", TEXT_MODEL, "prompt=x")
    assert (done.status, "https://fal.ai/dashboard/billing" in done.err) == (3, True)


def test_an_unknown_model_exits_with_1_and_says_how_to_search(shell: Shell) -> None:
    done = shell.run("run", "fal-ai/fluks", "prompt=x")
    assert (done.status, "fal-async models SEARCH" in done.err) == (1, True)


@pytest.mark.parametrize("words", [("run", "me/boom"), ("subscribe", "me/boom", "-q")])
def test_an_uncertain_request_exits_with_4_and_says_where_to_look(
    shell: Shell, words: tuple[str, ...]
) -> None:
    @shell.emulator.endpoint("me/boom")
    async def model(input: dict[str, Any]) -> dict[str, Any]:
        return {}

    shell.emulator.faults.add(Fault.reset(on="run" if words[0] == "run" else "submit", taken=True, times=1))
    done = shell.run(*words)
    assert (done.status, len(shell.emulator.jobs)) == (4, 1)
    assert "fal-async requests me/boom" in done.err


def test_a_failed_request_exits_with_1_and_its_id_is_on_standard_error(shell: Shell) -> None:
    done = shell.run("subscribe", PICTURES, "prompt=x", "num_images:=9", "-q")
    (request_id,) = shell.emulator.jobs
    assert (done.status, done.out) == (1, "")
    first, advice = done.err.splitlines()
    assert first.startswith("fal-async subscribe: 422 body.num_images")
    assert request_id in first
    assert advice == f"to see the members of the input: fal-async schema {PICTURES}"


def test_a_call_that_takes_too_long_exits_with_1_and_says_what_became_of_it(shell: Shell) -> None:
    @shell.emulator.endpoint("me/slow")
    async def model(input: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    done = shell.run("subscribe", "me/slow", "--timeout", "3", "-q")
    (job,) = shell.emulator.jobs.values()
    assert (done.status, job.cancel_requests) == (1, 1)
    assert "no result within 3 s" in done.err
    assert done.err.endswith(f"to look again: fal-async status me/slow {job.request_id}\n")


@pytest.mark.parametrize("verb", ["run", "subscribe"])
def test_a_result_whose_files_can_not_be_fetched_is_printed(shell: Shell, tmp_path: Path, verb: str) -> None:
    shell.emulator.faults.add(Fault.answer(404, on="file", times=None))
    done = shell.run(verb, PICTURES, "prompt=x", *SMALL, "-q", "--download", str(tmp_path / "out"))
    (request_id,) = shell.emulator.jobs
    assert (done.status, len(json.loads(done.out)["images"])) == (1, 1)
    assert "could not be fetched" in done.err
    again = f"fal-async result {PICTURES} {request_id} --wait"
    assert (again in done.err) == (verb == "subscribe")


@pytest.mark.parametrize("words", [("run",), ("subscribe",)])
def test_a_folder_that_can_not_be_made_exits_with_2_and_nothing_is_sent(
    shell: Shell, words: tuple[str, ...]
) -> None:
    done = shell.run(*words, PICTURES, "prompt=x", "--download", __file__)
    assert (done.status, done.out, len(shell.emulator.jobs)) == (2, "", 0)
    assert "--download: File exists" in done.err


# Keys.


def test_the_same_idempotency_key_is_one_request(shell: Shell, tmp_path: Path) -> None:
    key = ("--idempotency-key", "order-42", "--ledger", str(tmp_path / "runs.db"))
    first, again = (shell.run("subscribe", TEXT_MODEL, "prompt=x", *key, "--json", "-q") for _ in range(2))
    assert (first.status, again.status, len(shell.emulator.jobs)) == (0, 0, 1)
    assert first.document["data"] == again.document["data"]
    assert (first.document["from_ledger"], again.document["from_ledger"]) == (False, True)
    submitted = shell.run("submit", TEXT_MODEL, "prompt=x", *key)
    assert (submitted.out.strip(), len(shell.emulator.jobs)) == (first.document["request_id"], 1)
    other = shell.run("subscribe", TEXT_MODEL, "prompt=y", *key)
    assert (other.status, len(shell.emulator.jobs)) == (1, 1)
    assert "belongs to another input" in other.err
