"""Keys: where they come from, when a credentials function is called, and what happens if fal refuses a key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fal_async import (
    ApiError,
    AuthenticationError,
    BalanceExhaustedError,
    ConfigurationError,
    FalError,
    Session,
    SessionStateError,
    SubmissionUncertainError,
    Timeouts,
    TransportError,
    TransportTimeoutError,
)
from fal_async.emulator import Emulator
from tests.quick import ASK, LLM, ONCE, pool_of, session_on


@pytest.mark.parametrize("key", ["", "nocolon", "a:", ":b", "a b:c", "schlüssel:wert", "a:b\nc"])
def test_a_malformed_key_of_a_session_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Session(key)
    assert not key or key not in str(caught.value)


async def test_a_key_that_ends_in_a_line_break_is_accepted(emulator: Emulator) -> None:
    async with Session(f"{emulator.key}\n", hosts=emulator.hosts) as fal:
        assert await fal.verify_credentials()


async def test_the_credentials_argument_precedes_fal_key_which_precedes_its_parts(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    key_id, secret = emulator.key.split(":")
    monkeypatch.setenv("FAL_KEY_ID", key_id)
    monkeypatch.setenv("FAL_KEY_SECRET", secret)
    async with Session() as fal:
        assert await fal.verify_credentials()
    monkeypatch.setenv("FAL_KEY", "wrong:key")
    async with Session() as fal:
        assert not await fal.verify_credentials()
    async with Session(emulator.key) as fal:
        assert await fal.verify_credentials()
    async with Session.with_credentials(emulator.key) as fal:
        assert await fal.verify_credentials()


async def test_a_credentials_function_is_called_for_each_request(emulator: Emulator) -> None:
    # After a refused key, the function is called once more: the key may have been rotated in the meantime.
    keys = [emulator.key, "wrong:key", "wrong:key", f"Key {emulator.key}"]

    async def ask() -> str:
        return keys.pop(0)

    async with Session(ask, hosts=emulator.hosts) as fal:
        await fal.run(LLM, ASK)
        with pytest.raises(AuthenticationError):
            await fal.run(LLM, ASK)
        await fal.run(LLM, ASK)
    async with Session(lambda: emulator.key, hosts=emulator.hosts) as fal:
        await fal.run(LLM, ASK)
    async with Session(lambda: 3, hosts=emulator.hosts) as fal:  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="returned a int: expected str 'key_id:key_secret'"):
            await fal.run(LLM, ASK)


async def test_verify_credentials_costs_nothing_and_raises_for_a_locked_account(emulator: Emulator) -> None:
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        assert await fal.verify_credentials()
        emulator.lock_account()
        with pytest.raises(BalanceExhaustedError, match="billing"):
            await fal.verify_credentials()
    assert not emulator.jobs
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="no FAL_KEY found"):
            await fal.verify_credentials()


OURS: list[FalError] = [
    ApiError("the vault is down", status=500),
    AuthenticationError("the vault's own key is wrong", status=401),
    SubmissionUncertainError("fal may have taken the vault's request", operation="run"),
    TransportTimeoutError("the vault is slow"),
    SessionStateError("the vault's session is closed"),
]


@pytest.mark.parametrize("call", ["run", "submit", "subscribe", "stream"])
@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
async def test_an_error_of_the_credentials_function_raises_transport_error_and_sends_nothing(
    emulator: Emulator, error: FalError, call: str
) -> None:
    def ask() -> str:
        raise error

    async with session_on(emulator, credentials=ask, retry=ONCE) as fal:
        calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "run": fal.run,
            "submit": fal.queue.submit,
            "subscribe": fal.subscribe,
            "stream": lambda *ask: fal.stream(*ask).last(),
        }
        with pytest.raises(TransportError, match="the credentials function failed") as caught:
            await calls[call](LLM, ASK)
    assert type(caught.value) is TransportError
    assert caught.value.__cause__ is error
    assert caught.value.retryable
    assert not emulator.requests


@pytest.mark.parametrize("rotations", [1, 3])
async def test_running_calls_survive_each_rotation_of_the_key(emulator: Emulator, rotations: int) -> None:
    current = emulator.key

    def ask() -> str:
        return current

    async with session_on(emulator, credentials=ask) as fal:
        for n in range(rotations):
            under_way = [asyncio.create_task(fal.run(LLM, ASK)) for _ in range(5)]
            await asyncio.sleep(0)  # each call has the old key now, and none has reached the server
            current = f"rotated:{n}"
            emulator.rotate_key(current)
            assert len(await asyncio.gather(*under_way)) == 5


async def test_a_wrong_key_of_a_function_is_sent_twice_at_first_and_once_afterwards(
    emulator: Emulator,
) -> None:
    async with session_on(emulator, credentials=lambda: "wrong:key") as fal:
        for sent in (2, 3, 4):
            with pytest.raises(AuthenticationError):
                await fal.run(LLM, ASK)
            assert emulator.count("run") == sent


async def test_a_slow_credentials_function_does_not_occupy_a_connection(emulator: Emulator) -> None:
    waiting, ready = 0, asyncio.Event()

    async def ask() -> str:
        nonlocal waiting
        waiting += 1
        await ready.wait()
        return emulator.key

    async with session_on(emulator, credentials=ask, max_connections=2) as fal:
        slow: list[asyncio.Task[Any]] = [asyncio.create_task(fal.queue.submit(LLM, ASK)) for _ in range(20)]
        slow += [asyncio.create_task(fal.run(LLM, ASK)) for _ in range(20)]
        while waiting < 40:
            await asyncio.sleep(0)
        pool = pool_of(fal)
        assert (pool.short_requests.taken, pool.long_requests.taken) == (0, 0)
        public = fal.with_options(credentials=emulator.key)
        assert (await public.run(LLM, ASK)).data
        ready.set()
        await asyncio.gather(*slow)


@pytest.mark.parametrize("call", ["run", "subscribe", "stream"])
async def test_a_credentials_function_that_hangs_raises_a_timeout_after_first_byte(
    emulator: Emulator, call: str
) -> None:
    async def ask() -> str:
        await asyncio.Event().wait()
        return ""

    limits = Timeouts(connect=5, first_byte=0.05, total=5, run=5)
    async with session_on(emulator, credentials=ask, timeout=limits, retry=ONCE) as fal:
        calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "run": fal.run,
            "subscribe": fal.subscribe,
            "stream": lambda *ask: fal.stream(*ask).last(),
        }
        with pytest.raises(TransportTimeoutError, match="the key source did not return a key") as caught:
            await asyncio.wait_for(calls[call](LLM, ASK), 5)
        assert caught.value.endpoint_id is not None
        assert not emulator.requests
