"""The keys of items. By default they are derived from the inputs, so that a second run derives the same keys."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from fal_async import ConfigurationError, KeyConflictError, Session
from fal_async.batch.keys.content_digests import ContentDigests
from fal_async.batch.keys.item_keys import ItemKeys
from fal_async.batch.keys.seen_keys import SeenKeys
from fal_async.batch.requests import duplicates
from fal_async.batch.requests.request_maker import Outcome, Work
from fal_async.batch.summary import Tally
from fal_async.emulator import Emulator
from fal_async.keyed.input_digests import Recognised
from fal_async.protocol.endpoint import EndpointId
from tests.batch.test_map import echo as echo

ECHO = "me/echo"


class CountingMaker:
    """A `RequestMaker` that counts requests, and sends none."""

    made = 0

    async def begin(self) -> None: ...

    async def outcome(self, work: Work) -> Outcome:
        self.made += 1
        return Outcome(request_id=work.key)

    async def finish(self) -> None: ...

    async def aclose(self) -> None: ...

    def stop(self) -> None: ...

    def hurry(self) -> None: ...

    def left(self) -> str | None: ...


def nothing() -> None:
    """Do nothing. This is the callback of a batch without a display."""


async def keys_of(inputs: list[Any], key: Any = None, endpoint_id: str = ECHO) -> list[str | None]:
    seen = SeenKeys()
    keys = ItemKeys(key, EndpointId.parse(endpoint_id), ContentDigests(), seen)
    works = [
        Work(index=at, input=input, tally=Tally(None, float, nothing)) for at, input in enumerate(inputs)
    ]
    for work in works:
        await keys.name(work)
    seen.close()
    return [work.key for work in works]


@attrs.frozen
class Prompt:
    prompt: str
    seed: int | None = None


async def test_default_keys_are_reproducible_and_differ_by_input_and_endpoint() -> None:
    inputs = [{"prompt": "a", "seed": 1}, {"prompt": "a"}, {"prompt": "b"}]
    first = await keys_of(inputs)

    assert len(set(first)) == 3
    assert await keys_of([{"seed": 1, "prompt": "a"}, Prompt("a"), {"prompt": "b"}]) == first
    assert set(await keys_of(inputs, endpoint_id="me/other")).isdisjoint(first)


async def test_the_default_key_of_an_input_never_changes() -> None:
    assert await keys_of([{"prompt": "a cat"}] * 2, endpoint_id="fal-ai/flux/dev") == [PINNED, f"{PINNED}-2"]


PINNED = "b8b9b0ddba6ffb43514c9cc99c8bec68"


async def test_default_keys_of_equal_inputs_are_numbered() -> None:
    first, other, second, third = await keys_of([{"a": 1}, {"a": 2}, {"a": 1.0}, {"a": 1}])
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert other != first


async def test_a_key_is_a_member_or_a_function_of_the_input() -> None:
    assert await keys_of([{"id": "x"}, {"id": 7}, Prompt("p")], key="id") == ["x", "7", None]
    assert await keys_of([Prompt("p")], key="prompt") == ["p"]
    assert await keys_of([{"a": 1}], key=lambda input: f"a-{input['a']}") == ["a-1"]


@pytest.mark.parametrize("key", [7, "", b"id", lambda: "x", [1]])
async def test_a_key_argument_that_gives_no_key_is_refused(fal: Session, key: Any) -> None:
    with pytest.raises(ConfigurationError, match="key"):
        fal.map(ECHO, [{}], key=key)


async def test_an_input_without_a_key_fails_only_its_own_item(fal: Session, echo: str) -> None:
    items = await fal.map(echo, [{"id": "a"}, {}, {"id": ""}, {"id": None}, {"id": "b"}], key="id").collect()

    assert [item.ok for item in items] == [True, False, False, False, True]
    assert [item.key for item in items] == ["a", None, None, None, "b"]
    assert "'id'" in str(items[1].error)


async def test_an_exception_of_the_key_function_ends_the_run(fal: Session, echo: str) -> None:
    with pytest.raises(ZeroDivisionError):
        await fal.map(echo, [{"n": 1}, {"n": 0}], key=lambda input: str(1 // input["n"])).collect()


async def test_equal_inputs_with_the_same_key_share_one_request(
    emulator: Emulator, fal: Session, echo: str
) -> None:
    inputs = [{"id": "a", "n": 1}, {"id": "a", "n": 1}, {"id": "b", "n": 1}, {"id": "a", "n": 1.0}]
    async with fal.map(echo, inputs, key="id", ordered=True) as batch:
        items = [item async for item in batch]

    assert len(emulator.jobs) == 2
    assert len({item.request_id for item in items}) == 2
    assert all(item.ok for item in items)
    assert (batch.summary.done, batch.summary.unpriced) == (4, 2)


async def test_a_key_with_another_input_is_a_conflict_of_the_later_item(
    emulator: Emulator, fal: Session, echo: str
) -> None:
    items = await fal.map(echo, [{"id": "a", "n": 1}, {"id": "a", "n": 2}], key="id").collect()

    assert items[0].ok
    assert isinstance(items[1].error, KeyConflictError)
    assert items[1].error.key == "a"
    assert len(emulator.jobs) == 1


async def test_a_key_repeated_after_its_result_was_dropped_is_refused_and_not_paid_again() -> None:
    count = duplicates.KEPT + 5
    inputs: list[dict[str, Any]] = [{"id": n % count} for n in range(count + 1)]
    seen = SeenKeys()
    assert len(inputs) == count + 1
    maker = CountingMaker()
    shared = duplicates.Duplicates(maker, seen)
    outcomes = []
    for at, input in enumerate(inputs):
        work = Work(index=at, input=input, tally=Tally(None, float, nothing), key=str(input["id"]))
        work.recognised = Recognised("1:x")
        outcomes.append(await shared.outcome(work))
    seen.close()

    assert maker.made == count
    assert isinstance(outcomes[-1].error, KeyConflictError)
    assert "ledger" in str(outcomes[-1].error)
