"""Endpoints whose functions have types: their schemas, the check of inputs, and results as JSON."""

from __future__ import annotations

import dataclasses
import enum
import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from fal_async import Session
from fal_async.emulator import Answer, Emulator, JobContext, RealtimeOptions
from tests.emulator.caller import Caller

PATH = "/fal.ai/api/openapi/queue/openapi.json"


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


@attrs.frozen
class AttrsPart:
    name: str
    weight: float = 1.0


@attrs.frozen
class AttrsInput:
    """What to paint."""

    prompt: str
    parts: list[AttrsPart] = attrs.field(factory=list)
    count: Annotated[int, msgspec.Meta(ge=1, le=4)] = 1
    mode: Mode = Mode.FAST
    seed: int | None = None
    size: Literal["small", "large"] = "small"


@attrs.frozen
class AttrsOutput:
    text: str
    parts: list[AttrsPart]
    mode: Mode


@dataclasses.dataclass
class DataInput:
    prompt: str
    count: int = 1

    def __post_init__(self) -> None:
        if self.prompt == "forbidden":
            raise ValueError("the prompt is forbidden")


class DictInput(TypedDict):
    prompt: str
    count: NotRequired[int]


class StructInput(msgspec.Struct):
    prompt: str
    count: int = 1


class ModelInput(pydantic.BaseModel):
    prompt: str = pydantic.Field(min_length=1)
    count: int = pydantic.Field(default=1, ge=1, alias="num")


class ModelOutput(pydantic.BaseModel):
    text: str = pydantic.Field(serialization_alias="words")


async def schemas_of(caller: Caller, endpoint_id: str) -> dict[str, Any]:
    found = (await caller.get(PATH, params={"endpoint_id": endpoint_id}, headers={})).data
    schemas: dict[str, Any] = found["components"]["schemas"]
    return schemas


async def test_an_attrs_class_is_built_of_the_input_and_another_one_is_the_result(caller: Caller) -> None:
    @caller.emulator.endpoint("me/typed")
    async def typed(input: AttrsInput, job: JobContext) -> AttrsOutput:
        assert isinstance(input, AttrsInput)
        return AttrsOutput(text=f"{input.prompt} {job.via}", parts=list(input.parts), mode=input.mode)

    result = await caller.run(
        "me/typed", {"prompt": "a", "parts": [{"name": "x"}], "mode": "slow", "other": 1}
    )
    assert result.data == {"text": "a run", "parts": [{"name": "x", "weight": 1.0}], "mode": "slow"}
    assert list(result.data) == ["text", "parts", "mode"]
    refused = await caller.run("me/typed", {"count": 9, "parts": [{}], "mode": "fas", "size": 1})
    assert {(entry["type"], *entry["loc"][1:]) for entry in refused.data["detail"]} == {
        ("missing", "prompt"),
        ("missing", "parts", 0, "name"),
        ("less_than_equal", "count"),
        ("one_of", "mode"),
        ("one_of", "size"),
    }


async def test_the_document_of_a_typed_function_has_the_schemas_of_its_types(caller: Caller) -> None:
    @caller.emulator.endpoint("me/typed")
    async def typed(input: AttrsInput) -> AttrsOutput:
        return AttrsOutput(text="", parts=[], mode=Mode.FAST)

    schemas = await schemas_of(caller, "me/typed")
    assert schemas.keys() >= {"AttrsInput", "AttrsOutput", "AttrsPart"}
    assert schemas["AttrsInput"]["required"] == ["prompt"]
    assert schemas["AttrsOutput"]["x-fal-order-properties"] == ["text", "parts", "mode"]
    assert schemas["AttrsInput"]["description"] == "What to paint."
    assert schemas["AttrsInput"]["properties"]["seed"]["nullable"] is True


@pytest.mark.parametrize(
    "kind", [AttrsInput, DataInput, StructInput, DictInput, ModelInput], ids=lambda kind: kind.__name__
)
async def test_each_kind_of_class_can_be_an_input_in_fals_shape(caller: Caller, kind: Any) -> None:
    async def typed(input: Any) -> Any:
        assert isinstance(input, dict if kind is DictInput else kind)
        return {"ok": True}

    typed.__annotations__["input"] = kind
    caller.emulator.endpoint("me/typed")(typed)
    assert (await caller.run("me/typed", {"prompt": "a"})).data == {"ok": True}
    refused = await caller.run("me/typed", {"prompt": []})
    (entry,) = refused.data["detail"]
    assert (entry["loc"], entry["type"], entry["input"]) == (["body", "prompt"], "string_type", [])
    assert kind.__name__ in await schemas_of(caller, "me/typed")


async def test_a_check_of_the_class_itself_refuses_an_input_with_422(caller: Caller) -> None:
    @caller.emulator.endpoint("me/typed")
    async def typed(input: DataInput) -> None: ...

    (entry,) = (await caller.run("me/typed", {"prompt": "forbidden"})).data["detail"]
    assert (entry["type"], entry["msg"]) == ("value_error", "Value error, the prompt is forbidden")


async def test_a_pydantic_model_checks_inputs_itself_and_results_have_its_aliases(caller: Caller) -> None:
    @caller.emulator.endpoint("me/typed")
    async def typed(input: ModelInput) -> ModelOutput:
        return ModelOutput(text=f"{input.prompt} {input.count}")

    # As on fal, a number may be text.
    assert (await caller.run("me/typed", {"prompt": "a", "num": "3"})).data == {"words": "a 3"}
    (entry,) = (await caller.run("me/typed", {"prompt": "a", "num": 0})).data["detail"]
    assert (entry["loc"], entry["type"], entry["ctx"]) == (["body", "num"], "greater_than_equal", {"ge": 1})
    assert "words" in (await schemas_of(caller, "me/typed"))["ModelOutput"]["properties"]


async def test_a_generator_streams_typed_values_and_its_last_one_is_the_result(caller: Caller) -> None:
    @caller.emulator.endpoint("me/words")
    async def words(input: DataInput) -> AsyncIterator[AttrsPart]:
        for number in range(input.count):
            yield AttrsPart(name=input.prompt, weight=number)

    async with Session(caller.emulator.key, hosts=caller.emulator.hosts) as fal:
        events = [event async for event in fal.stream("me/words", {"prompt": "a", "count": 2})]
        result = await fal.subscribe("me/words", {"prompt": "a", "count": 2})
    assert events == [{"name": "a", "weight": 0}, {"name": "a", "weight": 1}]
    assert result.data == events[-1]
    refused = await caller.call("POST", "/fal.run/me/words/stream", json={"count": 2})
    assert (refused.status, refused.data["detail"][0]["type"]) == (422, "missing")


async def test_each_input_of_a_realtime_session_is_built(caller: Caller) -> None:
    seen: list[Any] = []

    @caller.emulator.endpoint(
        "me/live", input_schema={"required": ["n"]}, realtime=RealtimeOptions(client_streaming=True)
    )
    async def live(inputs: Any) -> AsyncIterator[Any]:
        async for input in inputs:
            seen.append(input)
            yield input

    async with (
        Session(caller.emulator.key, hosts=caller.emulator.hosts) as fal,
        fal.realtime.connect("me/live") as connection,
    ):
        await connection.send({"n": 1})
        assert await connection.recv() == {"n": 1}
    assert seen == [{"n": 1}]


async def test_values_without_a_class_and_answers_of_ones_own_stay_as_they_are(caller: Caller) -> None:
    @caller.emulator.endpoint("me/plain")
    async def plain(input: dict[str, Any]) -> Answer:
        return Answer(201, {}, b"x")

    answer = await caller.run("me/plain", [1])
    assert (answer.status, answer.body) == (201, b"x")
    assert (await schemas_of(caller, "me/plain"))["PlainInput"] == {"type": "object"}


async def test_a_type_whose_name_is_unknown_is_reported_and_not_used(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    async def odd(input: Any) -> Any:
        return input

    odd.__annotations__["input"] = "NoSuchName"
    with caplog.at_level(logging.WARNING, "fal_async.emulator"):
        caller.emulator.endpoint("me/odd")(odd)
    assert "me/odd: the type 'NoSuchName' is not used" in caplog.text
    assert (await caller.run("me/odd", {})).data == {}


def test_a_type_that_json_does_not_have_is_refused_when_it_is_registered() -> None:
    @attrs.frozen
    class Odd:
        work: Callable[[], None]

    emulator = Emulator()
    with pytest.raises(TypeError, match="me/odd: Odd has no JSON schema"):

        @emulator.endpoint("me/odd")
        async def odd(input: Odd) -> None: ...
