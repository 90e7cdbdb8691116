"""Direct calls with `run` (protocol 3)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypedDict

import attrs
import pytest

from fal_async import (
    AuthenticationError,
    ClientTimeoutError,
    ConfigurationError,
    NotFoundError,
    ResponseDecodeError,
    Session,
    StartTimeoutError,
    StorageSettings,
    ValidationError,
)
from fal_async.emulator import Answer, Emulator, JobContext


async def test_a_run_returns_the_output_of_the_model(fal: Session, emulator: Emulator) -> None:
    result = await fal.run("fal-ai/any-llm", {"prompt": "hello"})
    assert result.data["output"].startswith('You asked about "hello"')
    assert result.request_id in emulator.jobs
    assert result.attempts == {"run": 1}
    assert result.status is None
    assert result.billable_units == 1
    (request,) = emulator.requests
    assert (request.method, json.loads(request.body)) == ("POST", {"prompt": "hello"})


async def test_every_option_of_a_run_is_sent_as_its_header(fal: Session, emulator: Emulator) -> None:
    await fal.run(
        "fal-ai/any-llm",
        {"prompt": "x"},
        hint="me",
        start_timeout=12.5,
        headers={"X-Mine": "1"},
        tags={"Team": "a"},
        storage=StorageSettings(expires_in="1h", initial_acl="forbid"),
        store_io=False,
        disable_fallback=True,
    )
    sent = emulator.requests[0].headers
    assert sent["Authorization"] == f"Key {emulator.key}"
    assert sent["X-Fal-Runner-Hint"] == "me"
    assert sent["X-Fal-Request-Start-Timeout"] == sent["X-Fal-Request-Timeout"] == "12.5"
    assert sent["X-Mine"] == "1"
    assert sent["X-Fal-Tags"] == "team=a"
    assert json.loads(sent["X-Fal-Object-Lifecycle-Preference"]) == {
        "expiration_duration_seconds": 3600,
        "initial_acl": {"default": "forbid"},
    }
    assert sent["X-Fal-Store-IO"] == "0"
    assert sent["x-app-fal-disable-fallback"] == "1"
    assert sent["User-Agent"].startswith("fal-async/")
    assert (sent["Accept"], sent["Content-Type"]) == ("application/json", "application/json")


async def test_a_run_with_get_sends_the_input_as_the_query(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    result = await fal.run("me/echo", {"text": "a b&c", "n": 3, "list": [1, 2]}, method="GET")
    assert result.data == {"text": "a b&c", "n": "3", "list": "[1,2]"}
    assert emulator.requests[0].body == b""


async def test_the_path_of_a_run_is_added_to_the_endpoint_id(fal: Session, emulator: Emulator) -> None:
    assert (await fal.run("fal-ai/flux", {"prompt": "x"}, path="/schnell")).data["prompt"] == "x"
    assert emulator.requests[0].endpoint_id == "fal-ai/flux/schnell"


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        (Answer(200, {"Content-Type": "application/json"}, b'{"a":[1]}'), {"a": [1]}),
        (Answer(200, {"Content-Type": "application/problem+json"}, b"3"), 3),
        (Answer(200, {"Content-Type": "text/plain; charset=latin-1"}, "é".encode("latin-1")), "é"),
        (Answer(200, {"Content-Type": "text/html"}, "<b>é</b>"), "<b>é</b>"),
        (Answer(200, {"Content-Type": "image/png"}, b"\x89PNG"), b"\x89PNG"),
        (Answer(200, {"Content-Type": "application/octet-stream"}, b'{"a":1}'), b'{"a":1}'),
        (Answer(201, {"Content-Type": "application/json"}, b"null"), None),
    ],
)
async def test_run_responses_are_decoded_by_their_content_type(
    fal: Session, emulator: Emulator, answer: Answer, data: Any
) -> None:
    @emulator.endpoint("me/model")
    async def model(input: Any) -> Answer:
        return answer

    assert (await fal.run("me/model")).data == data


@attrs.frozen
class Prompt:
    prompt: str
    model: str = "m"


@dataclass
class DataPrompt:
    prompt: str


class Output(TypedDict):
    output: str
    partial: bool


@attrs.frozen
class Answered:
    output: str
    partial: bool
    reasoning: str | None


@dataclass
class Deep:
    output: list[int]


@pytest.mark.parametrize("input", [{"prompt": "x"}, Prompt("x"), DataPrompt("x")])
async def test_a_typed_input_is_sent_as_its_fields(fal: Session, emulator: Emulator, input: Any) -> None:
    await fal.run("fal-ai/any-llm", input)
    assert next(iter(emulator.jobs.values())).input["prompt"] == "x"


async def test_output_type_builds_the_data_of_a_run_or_raises_with_the_path(fal: Session) -> None:
    answered = await fal.run("fal-ai/any-llm", {"prompt": "x"}, output_type=Answered)
    assert answered.data.reasoning is None
    typed = await fal.run("fal-ai/any-llm", {"prompt": "x"}, output_type=Output)
    assert typed.data["partial"] is False
    with pytest.raises(ResponseDecodeError) as caught:
        await fal.run("fal-ai/any-llm", {"prompt": "x"}, output_type=Deep)
    assert caught.value.paths
    assert "$.output" in caught.value.paths[0]
    assert caught.value.request_id
    assert caught.value.endpoint_id == "fal-ai/any-llm"


async def test_an_input_that_the_model_refuses_raises_validation_error(fal: Session) -> None:
    with pytest.raises(ValidationError, match=r"422 body\.prompt: Input should be a valid string") as caught:
        await fal.run("fal-ai/flux/dev", {"prompt": 3})
    error = caught.value
    assert error.field_errors("prompt")[0].type == "string_type"
    assert error.request_id
    assert error.endpoint_id == "fal-ai/flux/dev"
    assert not error.retryable


@pytest.mark.parametrize(
    ("input", "words"),
    [
        ({"a": {"b": [1, {2, 3}]}}, r"input\.a\.b\[1\] is a set, which has no order"),
        ({"a": float("nan")}, r"input\.a is nan"),
        ({"image": b"data"}, r"input\.image is bytes: upload"),
        ({"x": {("a",): 1}}, "key of type tuple"),
        ("text", "input is of type str: expected a mapping"),
    ],
)
async def test_an_input_without_a_json_form_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, input: Any, words: str
) -> None:
    for call in (fal.run, fal.subscribe, fal.queue.submit):
        with pytest.raises(ConfigurationError, match=words):
            await call("fal-ai/any-llm", input)
    assert emulator.count() == 0


@pytest.mark.parametrize(
    "endpoint_id", ["", "flux", "fal-ai/", "/a", "a b/c", "a/../b", "https://evil.com/a/b"]
)
async def test_an_invalid_endpoint_id_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, endpoint_id: str
) -> None:
    with pytest.raises(ConfigurationError, match="endpoint id"):
        await fal.run(endpoint_id)
    assert emulator.count() == 0


async def test_a_run_of_an_unknown_endpoint_raises_not_found(fal: Session) -> None:
    with pytest.raises(NotFoundError, match="Application 'none' not found"):
        await fal.run("me/none")
    with pytest.raises(NotFoundError, match="Path /none not found"):
        await fal.run("fal-ai/flux/none")


async def test_a_wrong_key_and_a_missing_key_raise_errors_that_say_what_to_do(emulator: Emulator) -> None:
    async with Session("wrong:key", hosts=emulator.hosts) as fal:
        with pytest.raises(AuthenticationError, match="check FAL_KEY") as caught:
            await fal.run("fal-ai/any-llm", {"prompt": "x"})
    assert "wrong:key" not in str(caught.value) + repr(caught.value) + str(caught.value.to_dict())
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="no FAL_KEY found: set the environment variable"):
            await fal.run("fal-ai/any-llm", {"prompt": "x"})


async def test_a_run_without_a_runner_in_time_raises_start_timeout(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/busy", runners=1)
    async def busy(input: Any, job: JobContext) -> None:
        await job.sleep(1000)

    handle = await fal.queue.submit("me/busy")
    with pytest.raises(StartTimeoutError) as caught:
        await fal.run("me/busy", start_timeout=0.11)
    assert not caught.value.retryable
    assert emulator.count("run") == 1
    await handle.cancel()


async def test_a_run_that_times_out_closes_its_connection_and_is_stopped(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/slow")
    async def slow(input: Any, job: JobContext) -> None:
        await job.sleep(1000)

    with pytest.raises(ClientTimeoutError, match=r"no result within 0\.5 s"):
        await fal.run("me/slow", timeout=0.5)
    (job,) = emulator.jobs.values()
    assert await job.wait_for("COMPLETED", timeout=5) == "COMPLETED"
    assert job.error_type == "client_disconnected"
