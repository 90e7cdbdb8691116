"""Tests of a user that share one emulator. Each test is checked for itself, so all of them pass."""

import asyncio
import urllib.error
import urllib.request
from typing import Any

import pytest

from fal_async import NotFoundError, Session
from fal_async.emulator import Emulator, Fault, Scope

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


def check_a_scope_of_its_own(fal: Session, fal_env: Any, fal_key: str, fal_scope: Scope) -> None:
    fal_scope.faults.add(Fault.answer(404, on="run", after=1))
    asyncio.run(fal.run(LLM, ASK))
    with pytest.raises(NotFoundError):
        asyncio.run(fal.run(LLM, ASK))
    assert (fal_scope.count("run"), fal_scope.faults.struck) == (2, 1)
    assert fal_scope.books.total(LLM) == len(fal_scope.jobs) == 1
    assert fal_key == fal_env["FAL_KEY"] == fal_scope.key


test_first_scope_counts_its_own_requests = check_a_scope_of_its_own
test_next_scope_counts_its_own_requests = check_a_scope_of_its_own


@pytest.mark.usefixtures("fal_scope")
def test_a_scope_that_the_test_does_not_name_gives_its_key(fal_key: str, fal_emulator: Emulator) -> None:
    assert [*fal_emulator.accounts][1:] == ["test_a_scope_that_the_test_does_not_name_gives_its_key"]
    assert fal_key == [*fal_emulator.accounts.values()][1].key


def test_what_other_tests_left_is_not_reported(fal_emulator: Emulator) -> None:
    assert len(fal_emulator.faults) == 1
