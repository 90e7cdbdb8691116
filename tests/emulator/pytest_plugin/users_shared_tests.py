"""Tests of a user that share one emulator. Each test is checked for itself, so all of them pass."""

import asyncio
import urllib.error
import urllib.request
from typing import Any

import pytest

from fal_async import Session
from fal_async.emulator import Emulator, Fault

LLM, ASK = "fal-ai/any-llm", {"prompt": "x"}


@pytest.fixture(scope="module")
def fal_emulator() -> Any:
    with Emulator(speed=50) as emulator:

        @emulator.endpoint("me/rare")
        async def rare(input: Any) -> Any:
            return input

        yield emulator


def test_first_use_of_an_input_passes(fal: Session) -> None:
    asyncio.run(fal.run(LLM, ASK))


def test_same_input_of_another_test_passes(fal: Session) -> None:
    asyncio.run(fal.run(LLM, ASK))


@pytest.mark.fal_verify(unexpected=False, faults=False, running=False)
def test_allowed_things_are_left_behind(fal: Session, fal_emulator: Emulator) -> None:
    @fal_emulator.endpoint("me/slow")
    async def slow(input: Any) -> None:
        await asyncio.sleep(1000)

    asyncio.run(fal.submit("me/slow"))
    fal_emulator.faults.add(Fault.answer(503, on="upload"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(fal_emulator.url + "/other.example.com/x", timeout=10)
    caught.value.close()


def test_what_other_tests_left_is_not_reported(fal_emulator: Emulator) -> None:
    assert len(fal_emulator.faults) == 1
