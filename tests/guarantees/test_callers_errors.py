"""An exception of the caller's own function reaches the caller unchanged, and is not treated as fal's response."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fal_async import (
    ApiError,
    AuthenticationError,
    NotFoundError,
    RetryPolicy,
    Session,
    SubmissionUncertainError,
    TransportError,
)
from fal_async.emulator import Emulator, Fault
from tests.quick import ASK, GATE, LLM, ONCE, gate_at, session_on


class Odd(BaseException):
    """Not an Exception, like the one that `pytest.fail` raises."""


ERRORS: list[BaseException] = [
    ApiError("the vault is down", status=500, retryable=True),
    AuthenticationError("of another service", status=401),
    NotFoundError("of another request", status=404),
    SubmissionUncertainError("of another request"),
    TransportError("of another service"),
    ValueError("mine"),
    Odd(),
]
IDS = [type(error).__name__ for error in ERRORS]
each_error = pytest.mark.parametrize("error", ERRORS, ids=IDS)


class Raising:
    """A function that raises `error` when it is called."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *_: Any) -> Any:
        raise self.error

    @property
    def policy(self) -> RetryPolicy:
        return RetryPolicy(base_delay=0.005, on_retry=self)


async def gives(error: BaseException, call: Awaitable[Any]) -> None:
    with pytest.raises(type(error)) as caught:
        await call
    assert caught.value is error


def jobs_and_cancels(emulator: Emulator) -> tuple[int, int]:
    """Return the number of jobs, and the number of cancels that were sent."""
    return len(emulator.jobs), emulator.count("cancel")


# on_retry.


@each_error
@pytest.mark.parametrize("on", ["submit", "run"])
async def test_an_exception_of_on_retry_is_raised_as_it_is_by_a_paid_request(
    emulator: Emulator, on: str, error: BaseException
) -> None:
    emulator.faults.add(Fault.answer(429, on=on, times=None))
    async with session_on(emulator, retry=Raising(error).policy) as fal:
        await gives(error, (fal.subscribe if on == "submit" else fal.run)(LLM, ASK))
    assert (emulator.count(on), jobs_and_cancels(emulator)) == (1, (0, 0))


@each_error
@pytest.mark.parametrize("on", ["status", "status_stream", "result"])
async def test_an_exception_of_on_retry_while_following_ends_the_wait_and_cancels_the_request(
    emulator: Emulator, on: str, error: BaseException
) -> None:
    gate = gate_at(emulator)
    if on == "result":
        gate.open()
    emulator.faults.add(Fault.answer(503, on=on, times=None))
    async with session_on(emulator, retry=Raising(error).policy) as fal:
        mode: Any = "streaming" if on == "status_stream" else "polling"
        await gives(error, fal.subscribe(GATE, {"n": 1}, mode=mode))
    assert (emulator.count(on), jobs_and_cancels(emulator)) == (1, (1, 1))


@each_error
@pytest.mark.parametrize("on", ["status", "result"])
async def test_an_exception_of_on_retry_is_raised_as_it_is_by_a_single_read(
    emulator: Emulator, on: str, error: BaseException
) -> None:
    emulator.faults.add(Fault.answer(429, on=on, times=None))
    async with session_on(emulator, retry=Raising(error).policy) as fal:
        handle = await fal.queue.submit(LLM, ASK)
        await emulator.jobs[handle.request_id].wait_for("COMPLETED", timeout=5)
        await gives(error, handle.status() if on == "status" else handle.result())
    assert (emulator.count(on), emulator.count("cancel")) == (1, 0)


@each_error
async def test_an_exception_of_on_retry_of_an_upload_tries_no_other_route(
    emulator: Emulator, error: BaseException
) -> None:
    emulator.faults.add(Fault.answer(503, on="upload", times=None))
    async with session_on(emulator, retry=Raising(error).policy) as fal:
        await gives(error, fal.storage.upload(b"abc"))
    assert (emulator.count("upload"), emulator.count("initiate")) == (1, 0)


# Functions that are called while a file is transferred.

SIZES = {"whole": 1000, "in parts": 12 * 1024 * 1024}


def upload(fal: Session, file: Any, **options: Any) -> Awaitable[str]:
    return fal.storage.upload(file, multipart_above=6 * 1024 * 1024, part_size=5 * 1024 * 1024, **options)


@each_error
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("retry", [None, ONCE], ids=["retries", "once"])
async def test_an_exception_of_on_progress_is_raised_as_it_is_by_an_upload(
    emulator: Emulator, size: int, error: BaseException, retry: RetryPolicy | None
) -> None:
    options: dict[str, Any] = {} if retry is None else {"retry": retry}
    async with session_on(emulator, **options) as fal:
        await gives(error, upload(fal, bytes(size), on_progress=Raising(error)))
    assert (emulator.count("initiate"), emulator.count("complete")) == (0, 0)


class Broken(io.BytesIO):
    """A file object that can be measured, and fails when it is read."""

    def __init__(self, size: int, read: Callable[..., bytes]) -> None:
        super().__init__(bytes(size))
        self._read = read

    def read(self, *_: Any) -> bytes:
        return self._read()


@each_error
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_an_exception_of_a_file_object_is_raised_as_it_is_by_an_upload(
    emulator: Emulator, size: int, error: BaseException
) -> None:
    if isinstance(error, ValueError):
        pytest.skip("a ValueError of a file object becomes an UploadError")
    async with session_on(emulator) as fal:
        await gives(error, upload(fal, Broken(size, Raising(error)), content_type="a/b"))
    assert (emulator.count("initiate"), emulator.count("complete")) == (0, 0)


@each_error
async def test_an_exception_of_on_progress_is_raised_by_a_download_and_leaves_no_file(
    fal: Session, tmp_path: Path, error: BaseException
) -> None:
    url = await fal.storage.upload(b"abc")
    await gives(error, fal.storage.download(url, tmp_path / "file.bin", on_progress=Raising(error)))
    assert list(tmp_path.iterdir()) == []
