"""Tests of a user whose markers choose the emulator. `test_emulator_marker.py` runs them; all of them pass."""

import asyncio
import time
import urllib.request
from typing import Any

import pytest

from fal_async import ResultExpiredError, Session
from fal_async.emulator import Emulator

pytestmark = pytest.mark.fal_emulator(key="module:key", clock="auto")
HOUR = 3600.0


def add_training(emulator: Emulator) -> None:
    @emulator.endpoint("me/training")
    async def training(input: Any, job: Any) -> Any:
        await job.sleep(HOUR)
        return {"weights": "w" * 20}


def test_synchronous_test_passes_an_hour_of_work(fal_emulator: Emulator, fal: Session) -> None:
    add_training(fal_emulator)
    began = fal_emulator.now
    result = asyncio.run(fal.subscribe("me/training", {}))
    assert result.data == {"weights": "w" * 20}
    assert round(fal_emulator.now - began) == HOUR


def test_synchronous_test_moves_the_time(fal_emulator: Emulator) -> None:
    began = fal_emulator.now
    asyncio.run(fal_emulator.advance(HOUR))
    assert round(fal_emulator.now - began) == HOUR


@pytest.mark.asyncio(loop_scope="function")
async def test_time_is_moved_from_a_loop_of_a_test(fal_emulator: Emulator, fal: Session) -> None:
    add_training(fal_emulator)
    handle = await fal.submit("me/training", {})
    await handle.wait()
    await fal_emulator.advance(HOUR)
    with pytest.raises(ResultExpiredError):
        await handle.result()


@pytest.mark.asyncio(loop_scope="module")
async def test_time_is_moved_from_a_loop_of_a_module(fal_emulator: Emulator) -> None:
    await asyncio.gather(fal_emulator.advance(HOUR), fal_emulator.advance(HOUR))


@pytest.mark.fal_emulator(clock="manual")
@pytest.mark.asyncio
async def test_time_moves_by_hand_alone_in_manual_mode(fal_emulator: Emulator, fal: Session) -> None:
    add_training(fal_emulator)
    handle = await fal.submit("me/training", {})
    await fal_emulator.jobs[handle.request_id].wait_for("IN_PROGRESS")
    await fal_emulator.advance(HOUR - 1)
    assert fal_emulator.jobs[handle.request_id].state == "IN_PROGRESS"
    await fal_emulator.advance(1)
    assert (await handle.result()).data


@pytest.mark.fal_emulator(require_key=False, clock="real", speed=1000)
class TestClassWithItsOwn:
    def test_class_precedes_the_module(self, fal_emulator: Emulator, fal_env: Any) -> None:
        assert fal_env["FAL_KEY"] == fal_emulator.key == "module:key"
        assert abs(fal_emulator.now - time.time()) < HOUR
        request = urllib.request.Request(
            f"{fal_emulator.url}/fal-ai/any-llm",
            b'{"prompt": "x"}',
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    @pytest.mark.fal_emulator(key="test:key")
    def test_test_precedes_the_class(self, fal_emulator: Emulator) -> None:
        assert fal_emulator.key == "test:key"


@pytest.mark.parametrize(
    "key",
    ["module:key", pytest.param("case:key", marks=pytest.mark.fal_emulator(key="case:key"))],
)
def test_parameters_have_their_own_marker(fal_emulator: Emulator, key: str) -> None:
    assert fal_emulator.key == key


def test_without_the_fixture_the_marker_does_nothing() -> None: ...
