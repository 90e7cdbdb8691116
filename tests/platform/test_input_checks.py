"""`check=`: a wrong input is found before anything is sent, uploaded or billed."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from fal_async import ConfigurationError, NotFoundError, Session, Timeouts
from fal_async.emulator import Emulator, Fault
from tests.quick import LLM, session_on

FLUX = "fal-ai/flux/dev"
TYPO: Mapping[str, Any] = {"prompt": "a cat", "numimages": 4}
GOOD: Mapping[str, Any] = {"prompt": "a cat", "image_size": {"width": 16, "height": 16}}
CALLS = ["run", "stream", "submit", "subscribe", "map"]


async def call(fal: Session, name: str, input: Any, endpoint_id: str = FLUX, **options: Any) -> Any:
    if name == "stream":
        return await fal.stream(endpoint_id, input, **options).last()
    if name == "map":
        async with fal.map(endpoint_id, [input], **options) as batch:
            return [item.unwrap() async for item in batch]
    return await getattr(fal, name)(endpoint_id, input, **options)


def is_untouched(emulator: Emulator) -> bool:
    """Return whether nothing was accepted (so that nothing is billed), uploaded or even submitted."""
    sent = {request.kind for request in emulator.requests}
    return not list(emulator.books) and not emulator.uploads and sent <= {"openapi"}


@pytest.mark.parametrize("name", CALLS)
async def test_an_unknown_key_is_reported_with_the_right_one_before_anything_is_sent(
    fal: Session, emulator: Emulator, name: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await call(fal, name, TYPO, check="required")
    assert caught.value.message.startswith("input: unknown key 'numimages' (did you mean 'num_images'?)")
    assert caught.value.endpoint_id is not None
    assert is_untouched(emulator)


@pytest.mark.parametrize("name", CALLS)
async def test_a_missing_key_is_reported_before_its_file_is_uploaded(
    fal: Session, emulator: Emulator, name: str, tmp_path: Path
) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG")
    with pytest.raises(ConfigurationError, match="missing key 'prompt'"):
        await call(fal, name, {"image_size": picture}, check="required")
    assert is_untouched(emulator)


async def test_an_unknown_model_is_an_error_of_fal_and_nothing_is_billed(
    fal: Session, emulator: Emulator
) -> None:
    with pytest.raises(NotFoundError):
        await fal.subscribe("fal-ai/fluxx/dev", TYPO, check="required")
    assert list(emulator.books) == []


async def test_without_check_the_misspelt_key_is_sent_and_paid_for(fal: Session, emulator: Emulator) -> None:
    await fal.subscribe(FLUX, {**TYPO, **GOOD})
    assert [line.taken for line in emulator.books] == [1]
    assert emulator.count("openapi") == 0


@pytest.mark.parametrize("name", CALLS)
async def test_a_right_input_is_sent_and_the_schema_is_fetched_once(
    fal: Session, emulator: Emulator, name: str
) -> None:
    if name == "stream":
        emulator.endpoint(FLUX, input_schema={"properties": {"prompt": {}, "image_size": {}}})(_streamed)
    for _ in range(2):
        await call(fal, name, GOOD, check="required")
    assert sum(line.taken for line in emulator.books) == 2
    # A stream first looks for a schema of its own path.
    assert emulator.count("openapi") == (2 if name == "stream" else 1)


async def _streamed(input: Any) -> Any:
    yield {"output": input}


async def test_the_schema_is_fetched_without_the_api_key_and_without_the_sessions_headers(
    emulator: Emulator,
) -> None:
    async with session_on(emulator, check="required") as fal:
        await fal.subscribe(FLUX, GOOD)
    (asked,) = (request for request in emulator.requests if request.kind == "openapi")
    assert "Authorization" not in asked.headers
    assert asked.query == {"endpoint_id": FLUX}


async def test_the_check_of_a_call_replaces_that_of_its_view_and_session(emulator: Emulator) -> None:
    async with session_on(emulator, check="required") as fal:
        view = fal.with_options(check="off")
        assert (fal.settings.check, view.settings.check) == ("required", "off")
        assert fal.with_options(tags={"a": "b"}).settings.check == "required"
        with pytest.raises(ConfigurationError, match="numimages"):
            await fal.run(FLUX, TYPO)
        with pytest.raises(ConfigurationError, match="numimages"):
            await view.run(FLUX, TYPO, check="required")
        await fal.run(FLUX, {**TYPO, **GOOD}, check="off")
        await view.run(FLUX, {**TYPO, **GOOD})


@pytest.mark.parametrize("check", [False, True, "strict", 1])
def test_another_value_of_check_is_refused_with_the_possible_ones(check: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"check=.*'off', 'required' or 'schema'"):
        Session("id:secret", check=check)


async def test_another_value_of_check_in_a_call_is_refused_at_once(fal: Session, emulator: Emulator) -> None:
    with pytest.raises(
        ConfigurationError, match="check=False: expected 'off', 'required', 'schema', or None"
    ):
        await fal.run(FLUX, GOOD, check=False)  # type: ignore[arg-type]
    assert emulator.requests == []


@attrs.frozen
class ByAttrs:
    numimages: int
    prompt: str | None = None


@dataclasses.dataclass
class ByDataclass:
    numimages: int
    prompt: str | None = None


class ByPydantic(pydantic.BaseModel):
    count: int = pydantic.Field(alias="numimages")
    prompt: str | None = None


class ByMsgspec(msgspec.Struct):
    count: int = msgspec.field(name="numimages")
    prompt: str | None = None


@pytest.mark.parametrize(
    "record",
    [ByAttrs(4), ByDataclass(4), ByPydantic(numimages=4), ByMsgspec(4)],
    ids=lambda record: type(record).__name__,
)
async def test_records_are_checked_by_their_names_in_json(
    fal: Session, emulator: Emulator, record: Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"'numimages' \(did you mean .*missing key 'prompt'"):
        await fal.subscribe(FLUX, record, check="required")
    assert is_untouched(emulator)


@pytest.mark.parametrize("name", CALLS)
async def test_a_wrong_value_is_named_by_its_place_if_the_schema_is_compared(
    fal: Session, emulator: Emulator, name: str
) -> None:
    wrong = {"prompt": "a cat", "image_size": {"width": "16", "height": 16}, "num_images": 9}
    with pytest.raises(ConfigurationError) as caught:
        await call(fal, name, wrong, check="schema")
    assert "$.image_size.width: expected int, got str" in caught.value.message
    assert "$.num_images: expected at most 4" in caught.value.message
    assert is_untouched(emulator)


def test_comparing_values_without_jsonschema_is_refused_naming_the_extra() -> None:
    script = (
        "import asyncio, sys; sys.modules['jsonschema'] = None\n"
        "from fal_async import Session\n"
        "async def main():\n"
        "    async with Session('id:secret') as fal:\n"
        "        await fal.run('a/b', {}, check='schema')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert "needs jsonschema: pip install 'fal-async[schema]'" in done.stderr.splitlines()[-1]


async def test_values_are_compared_only_if_the_keys_are_right_and_right_values_are_sent(
    fal: Session, emulator: Emulator
) -> None:
    with pytest.raises(ConfigurationError, match="numimages"):
        await fal.run(FLUX, {**TYPO, "seed": "x"}, check="schema")
    await fal.run(FLUX, {**GOOD, "num_images": 1}, check="schema")
    assert sum(line.taken for line in emulator.books) == 1


async def test_a_key_with_none_in_a_mapping_is_there(fal: Session, emulator: Emulator) -> None:
    with pytest.raises(Exception, match="422"):
        await fal.subscribe(FLUX, {"prompt": None}, check="required")
    assert sum(line.taken for line in emulator.books) == 1


FAULTS = [
    Fault.answer(500, on="openapi"),
    Fault.answer(404, on="openapi"),
    Fault.html(502, on="openapi"),
    Fault.wrong_json(on="openapi"),
    Fault.wrong_json("[1]", on="openapi"),
    Fault.wrong_json('{"paths": 1}', on="openapi"),
    Fault.reset(on="openapi"),
    Fault.stall(30, on="openapi"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status or fault.body}")
async def test_an_input_is_sent_unchecked_if_its_schema_can_not_be_had(
    emulator: Emulator, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fal_async")
    emulator.faults.add(attrs.evolve(fault, times=9))
    only_reads = Timeouts(total=0.5)  # does not limit the direct call
    async with session_on(emulator, check="required", timeout=only_reads) as fal:
        for _ in range(3):
            await fal.run(LLM, {"prompt": "x", "unknown": 1})
    lines = [line for line in caplog.messages if "are not checked" in line]
    assert len(lines) == 1
    assert sum(line.taken for line in emulator.books) == 3


async def test_an_input_is_sent_unchecked_if_the_schemas_host_is_not_reached(emulator: Emulator) -> None:
    hosts = attrs.evolve(emulator.hosts, openapi="http://127.0.0.1:1")
    async with Session(emulator.key, hosts=hosts, check="required", retry=None) as fal:
        await fal.run(FLUX, {**TYPO, **GOOD})
    assert sum(line.taken for line in emulator.books) == 1


async def test_a_session_with_a_proxy_url_does_not_check(emulator: Emulator) -> None:
    async with Session(proxy_url="http://127.0.0.1:1", hosts=emulator.hosts, check="required") as fal:
        with pytest.raises(Exception, match="no connection"):
            await fal.run(FLUX, TYPO)
    assert emulator.requests == []


async def test_a_bad_item_of_a_batch_gets_its_own_error_and_the_others_are_sent(
    fal: Session, emulator: Emulator
) -> None:
    inputs = [{**GOOD, "seed": 1}, TYPO, {**GOOD, "seed": 2}, {"seed": 3}]
    async with fal.map(FLUX, inputs, ordered=True, check="required") as batch:
        items = [item async for item in batch]
    assert [item.ok for item in items] == [True, False, True, False]
    assert isinstance(items[1].error, ConfigurationError)
    assert "num_images" in str(items[1].error)
    assert "missing key 'prompt'" in str(items[3].error)
    assert sum(line.taken for line in emulator.books) == 2
    assert emulator.count("openapi") == 1


async def test_a_thousand_items_fetch_the_schema_once(fal: Session, emulator: Emulator) -> None:
    inputs = [{"promt": str(number)} for number in range(1000)]
    async with fal.map(FLUX, inputs, check="required") as batch:
        errors = [item.error async for item in batch]
    assert len(errors) == 1000
    assert all(isinstance(error, ConfigurationError) for error in errors)
    assert is_untouched(emulator)
    assert emulator.count("openapi") == 1


async def test_a_refused_input_leaves_no_entry_and_the_corrected_one_is_paid_once(
    emulator: Emulator, tmp_path: Path
) -> None:
    async with session_on(emulator, ledger=tmp_path / "runs.db", check="required") as fal:
        with pytest.raises(ConfigurationError, match="num_images"):
            await fal.subscribe(FLUX, TYPO, key="order-42")
        assert is_untouched(emulator)
        await fal.subscribe(FLUX, {**GOOD, "num_images": 1}, key="order-42")
    assert sum(line.taken for line in emulator.books) == 1


async def test_a_key_that_is_done_is_replayed_without_a_check(emulator: Emulator, tmp_path: Path) -> None:
    async with session_on(emulator, ledger=tmp_path / "runs.db") as fal:
        await fal.subscribe(FLUX, {**TYPO, **GOOD}, key="order-42")
        again = await fal.subscribe(FLUX, {**TYPO, **GOOD}, key="order-42", check="required")
        assert again.from_ledger
        async with fal.map(FLUX, [{**GOOD, "old": 1}], run="nightly") as batch:
            [item async for item in batch]
        async with fal.map(FLUX, [{**GOOD, "old": 1}], run="nightly", check="required") as batch:
            (item,) = [item async for item in batch]
        assert item.from_ledger
    assert emulator.count("openapi") == 0
    assert sum(line.taken for line in emulator.books) == 2


async def test_a_bad_item_of_a_keyed_batch_is_sent_by_the_next_start_when_it_is_corrected(
    emulator: Emulator, tmp_path: Path
) -> None:
    async def start(second: Any) -> list[bool]:
        async with session_on(emulator, ledger=tmp_path / "runs.db", check="required") as fal:
            inputs = [{"id": "a", **GOOD}, {"id": "b", **second}]
            keyed = [({k: v for k, v in each.items() if k != "id"}, each["id"]) for each in inputs]
            names = iter([name for _, name in keyed])
            async with fal.map(
                FLUX, [each for each, _ in keyed], key=lambda _: next(names), run="n", ordered=True
            ) as batch:
                return [item.ok async for item in batch]

    assert await start(TYPO) == [True, False]
    assert await start({**GOOD, "num_images": 1}) == [True, True]
    assert sum(line.taken for line in emulator.books) == 2
