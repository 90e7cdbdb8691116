"""`Endpoint` values in place of endpoint ids: their output types are built, and other inputs are refused."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

import fal_async
from fal_async import NULL, ConfigurationError, Endpoint, Null, ResponseDecodeError, Session
from fal_async.emulator import Emulator
from fal_async.integrations.ray import FalMapper


@attrs.frozen
class Ask:
    text: str
    seed: int | Null | None = None


@attrs.frozen
class Told:
    text: str


@attrs.frozen
class Raw:
    text: Any
    seed: Any = "not sent"


ECHO = Endpoint("me/echo", input=Ask, output=Told)


@pytest.fixture(autouse=True)
def models(emulator: Emulator) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    @emulator.endpoint("me/spell")
    async def spell(input: Any) -> AsyncIterator[Any]:
        for letter in input["text"]:
            yield {"text": letter}


async def test_every_call_takes_an_endpoint_and_builds_its_output(fal: Session) -> None:
    ask, told = Ask("hello"), Told("hello")
    assert (await fal.run(ECHO, ask)).data == told
    assert (await fal.subscribe(ECHO, ask)).data == told
    assert (await fal.subscribe(ECHO, {"text": "hello"})).data == told  # type: ignore[misc]
    handle = await fal.submit(ECHO, ask)
    assert (await handle.wait()).data == told
    assert (await handle.result()).data == told
    assert (await fal.queue.result(ECHO, handle.request_id)).data == told
    assert (await fal.queue.handle(ECHO, handle.request_id).wait()).data == told
    assert (await fal.queue.status(ECHO, handle.request_id)).request_id == handle.request_id
    assert [status async for status in fal.queue.updates(ECHO, handle.request_id)]
    async with fal.map(ECHO, [ask]) as batch:
        assert [item.unwrap().data async for item in batch] == [told]
    async with fal.websocket(ECHO) as calls:
        assert (await calls.run(ask)).data == told
    assert str(ECHO) == handle.endpoint_id == "me/echo"


def test_a_realtime_connection_and_a_mapper_of_rows_take_an_endpoint(tmp_path: Path) -> None:
    assert Session("a:b").realtime.connect(ECHO).endpoint_id == "me/echo/realtime"
    assert FalMapper(ECHO, ledger=tmp_path / "runs.db", key="id")


async def test_a_stream_of_an_endpoint_builds_each_value(fal: Session) -> None:
    spell = Endpoint("me/spell", input=Ask, output=Told)
    assert [value async for value in fal.stream(spell, Ask("hi"))] == [Told("h"), Told("i")]


async def test_a_found_submission_of_an_endpoint_builds_its_output(fal: Session) -> None:
    began = time.time() - 1
    handle = await fal.submit(ECHO, Ask("lost"))
    await handle.wait()
    found = await fal.queue.find_submission(ECHO, Ask("lost"), since=began)
    assert found is not None
    assert (await found.wait()).data == Told("lost")


async def test_the_shortcuts_of_the_module_take_an_endpoint(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", emulator.key)
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    assert (await fal_async.run(ECHO, Ask("a"))).data == Told("a")
    assert (await fal_async.subscribe(ECHO, Ask("b"))).data == Told("b")
    assert (await (await fal_async.submit(ECHO, Ask("c"))).wait()).data == Told("c")
    spell = Endpoint("me/spell", output=Told)
    assert await fal_async.stream(spell, {"text": "d"}).last() == Told("d")


async def test_a_keyed_call_with_an_endpoint_is_replayed_with_its_type(
    emulator: Emulator, tmp_path: Path
) -> None:
    async with Session(emulator.key, hosts=emulator.hosts, ledger=tmp_path / "runs.db") as fal:
        first = await fal.subscribe(ECHO, Ask("x"), key="k")
        again = await fal.subscribe(ECHO, Ask("x"), key="k")
        handle = await fal.submit(ECHO, Ask("x"), key="k")
        assert [first.data, again.data, (await handle.result()).data] == [Told("x")] * 3
    assert len(emulator.jobs) == 1


async def test_an_explicit_output_type_takes_precedence_over_that_of_the_endpoint(fal: Session) -> None:
    assert (await fal.subscribe(ECHO, Ask("a"), output_type=Raw)).data == Raw("a")
    handle = await fal.submit(ECHO, Ask("a"))
    assert (await handle.wait(output_type=Raw)).data == Raw("a")
    assert (await fal.subscribe(Endpoint("me/echo"), {"text": 1})).data == {"text": 1}


async def test_the_path_of_a_call_is_added_to_an_endpoint(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/echo/loud")
    async def loud(input: Any) -> Any:
        return {"text": input["text"].upper()}

    assert (await fal.subscribe(ECHO, Ask("a"), path="loud")).data == Told("A")


@pytest.mark.parametrize("wrong", [Told("a"), "a", 5, Ask], ids=lambda value: type(value).__name__)
async def test_an_input_of_another_class_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, wrong: Any
) -> None:
    words = rf"input is of type {type(wrong).__name__}: expected Ask or a mapping, for me/echo"
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: fal.run(ECHO, wrong),
        lambda: fal.subscribe(ECHO, wrong),
        lambda: fal.submit(ECHO, wrong),
        lambda: fal.stream(ECHO, wrong).last(),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match=words):
            await call()
    async with fal.map(ECHO, [wrong, Ask("fine")], ordered=True) as batch:
        refused, fine = [item async for item in batch]
    assert isinstance(refused.error, ConfigurationError)
    assert fine.unwrap().data == Told("fine")
    assert len(emulator.jobs) == 1


async def test_an_endpoint_whose_output_type_is_unbuildable_is_refused_before_it_is_paid(
    fal: Session, emulator: Emulator
) -> None:
    bytes_out = Endpoint("me/echo", output=bytes)
    for call in (fal.run, fal.subscribe, fal.submit):
        with pytest.raises(ConfigurationError, match="JSON has no bytes"):
            await call(bytes_out, {"text": "a"})
    with pytest.raises(ConfigurationError, match="JSON has no bytes"):
        fal.map(bytes_out, [{"text": "a"}])
    assert emulator.count() == 0


class Prompt(pydantic.BaseModel):
    prompt: str
    num_images: int = pydantic.Field(default=1, le=4)


class Image(pydantic.BaseModel):
    url: pydantic.AnyUrl
    width: int


class Pictures(pydantic.BaseModel):
    images: list[Image]


class PicturesStruct(msgspec.Struct):
    images: list[Image]
    seed: int


async def test_models_of_pydantic_and_msgspec_go_in_and_come_out_with_their_files(
    fal: Session, tmp_path: Path
) -> None:
    schnell = Endpoint("fal-ai/flux/schnell", input=Prompt, output=Pictures)
    result = await fal.subscribe(schnell, Prompt(prompt="a cat", num_images=2))
    assert [type(image.url) for image in result.data.images] == [pydantic.AnyUrl] * 2
    assert len(await result.download(tmp_path)) == 2
    again = await fal.queue.result(schnell, result.request_id, output_type=PicturesStruct)
    assert again.data.images == result.data.images
    assert [file.path for file in again.files()] == ["$.images[0]", "$.images[1]"]


class Unfinished(pydantic.BaseModel):
    images: list[Nowhere]  # type: ignore[name-defined]  # noqa: F821


async def test_a_model_that_is_not_completely_defined_is_refused_before_it_is_paid(
    fal: Session, emulator: Emulator
) -> None:
    for call in (fal.run, fal.subscribe, fal.submit):
        with pytest.raises(ConfigurationError, match=r"output_type=Unfinished: .*Nowhere"):
            await call(Endpoint("me/echo", output=Unfinished), {"text": "a"})
    assert emulator.count() == 0


async def test_an_output_that_does_not_fit_the_endpoint_is_in_the_error(fal: Session) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        await fal.subscribe(ECHO, {"text": 5})  # type: ignore[misc]
    assert caught.value.paths == ["expected str, got number @ $.text"]
    assert caught.value.body == {"text": 5}


async def test_a_field_with_null_is_sent_as_null_and_a_field_with_none_is_not_sent(
    fal: Session, emulator: Emulator
) -> None:
    asked = Endpoint("me/echo", input=Ask, output=Raw)
    assert (await fal.run(asked, Ask("a", seed=NULL))).data == Raw("a", None)
    assert (await fal.run(asked, Ask("a", seed=None))).data == Raw("a", "not sent")
    assert [json.loads(request.body) for request in emulator.requests] == [
        {"text": "a", "seed": None},
        {"text": "a"},
    ]
