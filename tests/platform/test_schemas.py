"""`platform.schema`: what fal publishes about an endpoint, fetched once and kept for a while."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from fal_async import (
    ConfigurationError,
    Endpoint,
    EndpointSchema,
    NotFoundError,
    ResponseDecodeError,
    ServerError,
    Session,
    TransportError,
)
from fal_async.emulator import Emulator, Fault
from fal_async.platform.schema_store import FAILED_FOR, KEPT_FOR, SchemaStore
from tests.quick import ONCE, session_on

FLUX = "fal-ai/flux/dev"
SCHEMA = EndpointSchema(endpoint_id=FLUX)


async def test_the_schema_of_an_endpoint_has_its_input_output_and_fields(fal: Session) -> None:
    schema = await fal.platform.schema(FLUX)
    assert schema.endpoint_id == FLUX
    assert schema.input is not None
    assert "prompt" in schema.input["properties"]
    assert schema.output is not None
    assert "images" in schema.output["properties"]
    count = next(field for field in schema.input_fields() if field.name == "num_images")
    assert (count.type, count.default, count.limits_text()) == ("int", 1, "1 to 4")


async def test_an_endpoint_given_as_a_url_or_a_value_is_looked_up_by_its_id(fal: Session) -> None:
    assert (await fal.platform.schema("https://fal.run/fal-ai/flux/dev")).endpoint_id == FLUX
    assert (await fal.platform.schema(Endpoint(FLUX))).endpoint_id == FLUX


async def test_calls_at_the_same_time_and_views_share_one_http_request(emulator: Emulator) -> None:
    async with session_on(emulator) as fal:
        views = [fal, fal.with_options(tags={"a": "b"}), fal.with_options(credentials="other:key")]
        await asyncio.gather(*(view.platform.schema(FLUX) for view in views * 10))
        await fal.platform.schema(FLUX)
        await fal.platform.schema("fal-ai/flux/schnell")
    asked = [request for request in emulator.requests if request.kind == "openapi"]
    assert len(asked) == 2
    assert all("Authorization" not in request.headers for request in asked)


async def test_a_cancelled_caller_does_not_stop_the_others(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(0.2, on="openapi"))
    first = asyncio.create_task(fal.platform.schema(FLUX))
    second = asyncio.create_task(fal.platform.schema(FLUX))
    await emulator.wait_for("openapi")
    first.cancel()
    assert (await second).endpoint_id == FLUX
    assert emulator.count("openapi") == 1


@pytest.mark.parametrize(
    ("endpoint_id", "advice"),
    [
        ("fal-ai/fluxx/dev", "check the id, or search with fal.platform.models('fluxx')"),
        ("workflows/me/my-flow", "check workflows/OWNER/NAME"),
    ],
)
async def test_an_unknown_endpoint_is_not_found_and_the_error_says_what_to_do(
    fal: Session, endpoint_id: str, advice: str
) -> None:
    with pytest.raises(NotFoundError) as caught:
        await fal.platform.schema(endpoint_id)
    assert advice in str(caught.value)
    assert caught.value.endpoint_id == endpoint_id
    assert len(caught.value.message) < 200


WORKFLOW = {
    "workflow": {"name": "my-flow", "contents": {"schema": {"input": {"prompt": {"required": True}}}}}
}


async def test_the_schema_of_a_workflow_is_read_from_its_definition_with_the_api_key(
    emulator: Emulator,
) -> None:
    emulator.faults.add(Fault.answer(200, body=json.dumps(WORKFLOW), on="platform", times=2))
    async with session_on(emulator) as fal:
        view = fal.with_options(tags={"a": "b"})
        schema = await fal.platform.schema("workflows/me/my-flow")
        assert await view.platform.schema("workflows/me/my-flow") is schema
        with pytest.raises(ConfigurationError, match="missing key 'prompt'"):
            await fal.subscribe("workflows/me/my-flow", {}, check="required")
        other = fal.with_options(credentials="other:key")
        assert await other.platform.schema("workflows/me/my-flow") is not schema
    assert schema.input is not None
    assert schema.input["required"] == ["prompt"]
    asked = [request for request in emulator.requests if request.kind == "platform"]
    assert [request.path.rpartition("/v1/")[2] for request in asked] == ["workflows/me/my-flow"] * 2
    assert [request.headers["Authorization"] for request in asked] == [f"Key {emulator.key}", "Key other:key"]
    assert list(emulator.books) == []


async def test_a_created_workflow_has_the_schema_of_its_definition(fal: Session) -> None:
    schema = {
        "input": {"prompt": {"type": "string", "required": True}},
        "output": {"image": {"type": "string"}},
    }
    definition = {"name": "my-flow", "version": "1", "nodes": {}, "output": {}, "schema": schema}
    made = await fal.platform.workflows.create("my-flow", "My flow", definition)
    assert made.endpoint_id is not None
    found = await fal.platform.schema(made.endpoint_id)
    assert [(field.name, field.type, field.required) for field in found.input_fields()] == [
        ("prompt", "str", True)
    ]
    assert [field.name for field in found.output_fields()] == ["image"]


async def test_the_input_of_an_unknown_workflow_is_not_checked_and_fal_refuses_the_id(
    fal: Session, emulator: Emulator
) -> None:
    with pytest.raises(NotFoundError):
        await fal.subscribe("workflows/me/my-flow", {"any": 1}, check="required")
    assert list(emulator.books) == []


async def test_a_failure_is_not_kept_so_that_the_next_call_asks_again(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(500, on="openapi"))
    async with session_on(emulator, retry=ONCE) as fal:
        with pytest.raises(ServerError):
            await fal.platform.schema(FLUX)
        assert (await fal.platform.schema(FLUX)).input is not None


async def test_a_response_that_is_not_a_document_is_a_decode_error(emulator: Emulator) -> None:
    emulator.faults.add(Fault.wrong_json("[1]", on="openapi"))
    async with session_on(emulator, retry=ONCE) as fal:
        with pytest.raises(ResponseDecodeError, match="OpenAPI document"):
            await fal.platform.schema(FLUX)


async def test_a_session_with_a_proxy_url_and_a_wrong_id_are_refused_before_anything_is_sent() -> None:
    async with Session(proxy_url="http://127.0.0.1:1") as fal:
        with pytest.raises(ConfigurationError, match="proxy_url"):
            await fal.platform.schema(FLUX)
        with pytest.raises(ConfigurationError, match="endpoint id"):
            await fal.platform.schema("flux")


class Fetches:
    """Counts the fetches of a store whose clock the test sets. The next fetch raises `error`, if it is set."""

    def __init__(self) -> None:
        self.now, self.count = 0.0, 0
        self.error: Exception | None = None
        self.store = SchemaStore(clock=lambda: self.now, limit=0.01)

    async def fetch(self) -> EndpointSchema:
        self.count += 1
        if self.error is not None:
            raise self.error
        return SCHEMA


async def test_a_schema_is_fetched_again_when_it_is_older_than_ten_minutes() -> None:
    fetches = Fetches()
    for now, count in [(0.0, 1), (KEPT_FOR - 1, 1), (KEPT_FOR, 2), (KEPT_FOR + 1, 2)]:
        fetches.now = now
        assert await fetches.store.get(FLUX, fetches.fetch) is SCHEMA
        assert fetches.count == count


async def test_checks_do_without_the_schema_for_a_while_after_a_failure_and_log_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "fal_async")
    fetches = Fetches()
    fetches.error = TransportError("offline")
    for _ in range(3):
        assert await fetches.store.get_if_possible(FLUX, fetches.fetch) is None
    together = [fetches.store.get_if_possible("a/b", fetches.fetch) for _ in range(3)]
    assert await asyncio.gather(*together) == [None] * 3
    assert fetches.count == 2
    assert [line for line in caplog.messages if "not checked" in line] == [
        f"inputs of {FLUX} are not checked, as fal's schema is missing: offline",
        "inputs of a/b are not checked, as fal's schema is missing: offline",
    ]
    fetches.now, fetches.error = FAILED_FOR, None
    assert await fetches.store.get_if_possible(FLUX, fetches.fetch) is SCHEMA


async def test_an_explicit_call_ends_the_pause_of_the_checks() -> None:
    fetches = Fetches()
    fetches.error = TransportError("offline")
    assert await fetches.store.get_if_possible(FLUX, fetches.fetch) is None
    fetches.error = None
    await fetches.store.get(FLUX, fetches.fetch)
    assert await fetches.store.get_if_possible(FLUX, fetches.fetch) is SCHEMA


async def test_a_check_does_not_wait_longer_than_its_limit(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fal_async")
    never = asyncio.Event()

    async def fetch() -> EndpointSchema:
        await never.wait()
        return SCHEMA

    assert await Fetches().store.get_if_possible(FLUX, fetch) is None
    assert "no answer within 0.01 s" in caplog.text


async def test_an_exception_of_the_callers_own_function_is_not_hidden_by_a_check() -> None:
    fetches = Fetches()
    error = TransportError("on_retry failed")
    error.from_caller = True
    fetches.error = error
    with pytest.raises(TransportError, match="on_retry"):
        await fetches.store.get_if_possible(FLUX, fetches.fetch)


async def test_the_schemas_of_the_endpoints_used_last_are_kept() -> None:
    fetches = Fetches()
    for number in [*range(200), *range(199, 80, -1)]:
        await fetches.store.get(f"a/b{number}", fetches.fetch)
    assert fetches.count == 200
    await fetches.store.get("a/b0", fetches.fetch)
    assert fetches.count == 201
