"""Request bodies that are sent slowly, or stop: of calls with large inputs, of uploads, through a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fal_async import FalError, Retry, RetryPolicy, Session, SubmissionUncertainError, Timeouts, UploadError
from fal_async.errors import RequestRef
from fal_async.protocol.http import HttpRequest, Operation
from tests.emulator.certificates import client_side, server_side
from tests.quick import LLM, ONCE, at_once
from tests.servers.reader import reading

MiB = 1024 * 1024
SIZE = 2 * MiB
LIMIT = 0.6
"""Seconds for each piece, not for the whole body."""
STEPS = 32
"""Pieces of a body of `SIZE`. Together they take twice LIMIT or longer, each of them a small part of it."""
WHOLE = 1.5 * LIMIT
LIMITS = Timeouts(connect=5, first_byte=LIMIT, total=WHOLE, run=WHOLE, stream=WHOLE)

Way = Callable[[Session, Path], Awaitable[Any]]


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(STEPS):
        yield bytes(SIZE // STEPS)


async def _open(fal: Session, body: Any, way: str) -> None:
    headers = {"content-length": str(SIZE)}
    request = HttpRequest(
        operation=Operation.RUN,
        method="POST",
        url=f"{fal.settings.hosts.run}/{LLM}",
        headers=headers,
        body=body,
        ref=RequestRef(endpoint_id=LLM),
    )
    async with getattr(fal.transport, way)(request) as response:
        assert [chunk async for chunk in response.chunks()]


WAYS: dict[str, Way] = {
    "run": lambda fal, _: fal.run(LLM, {"text": "x" * SIZE}),
    "submit": lambda fal, _: fal.queue.submit(LLM, {"text": "x" * SIZE}),
    "upload of bytes": lambda fal, _: fal.storage.upload(bytes(SIZE)),
    "upload of a path": lambda fal, path: fal.storage.upload(path),
    "upload of an iterable": lambda fal, _: fal.storage.upload(_pieces()),
    "parts": lambda fal, path: fal.storage.upload(path, multipart_above=1, part_size=SIZE // 2),
    "file in an input": lambda fal, path: fal.run(LLM, {"image_url": path}),
    "opened": lambda fal, _: _open(fal, bytes(SIZE), "open"),
    "passed on": lambda fal, _: _open(fal, bytes(SIZE), "pass_through"),
    "passed on by pieces": lambda fal, _: _open(fal, _pieces, "pass_through"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(SIZE))
    return path


async def test_a_body_that_is_sent_slowly_in_any_way_does_not_time_out(path: Path) -> None:
    """The whole body takes longer than any limit, but the server keeps reading."""

    async def slowly() -> None:
        await asyncio.sleep(2 * LIMIT / STEPS)

    async def check(way: str) -> None:
        async with (
            reading(slowly) as server,
            Session("a:b", hosts=server.hosts, timeout=LIMITS, retry=ONCE) as fal,
        ):
            await WAYS[way](fal, path)
            assert sum(map(len, server.bodies)) >= SIZE
            assert server.begun == len(server.bodies)  # nothing was sent twice

    await at_once(check, WAYS)


async def test_a_server_that_stops_reading_a_body_sent_in_any_way_times_out(path: Path) -> None:
    # Only the limit of the body is short, so that it can't be the response that times out.
    limits = Timeouts(connect=60, first_byte=0.2, total=3600, run=3600, stream=3600)

    async def check(way: str) -> None:
        async with (
            reading(asyncio.Event().wait) as server,
            Session("a:b", hosts=server.hosts, timeout=limits, retry=ONCE) as fal,
        ):
            with pytest.raises(
                FalError, match=r"accepted no more of the request for 0\.2 s \(Timeouts\.first_byte\)"
            ):
                await WAYS[way](fal, path)
            assert server.bodies == []

    await at_once(check, WAYS)


async def test_a_submit_that_stops_half_way_is_uncertain_and_not_sent_again() -> None:
    async with (
        reading(asyncio.Event().wait) as server,
        Session("a:b", hosts=server.hosts, timeout=Timeouts(first_byte=0.2)) as fal,
    ):
        with pytest.raises(SubmissionUncertainError, match="accepted no more"):
            await fal.queue.submit(LLM, {"text": "x" * SIZE})
        assert server.begun == 1


async def test_an_upload_that_stops_half_way_is_retried_on_each_route(path: Path) -> None:
    retries: list[Retry] = []
    policy = RetryPolicy(max_attempts=2, base_delay=0.01, on_retry=retries.append)
    async with (
        reading(asyncio.Event().wait) as server,
        Session("a:b", hosts=server.hosts, timeout=Timeouts(first_byte=0.1), retry=policy) as fal,
    ):
        with pytest.raises(UploadError, match="accepted no more"):
            await fal.storage.upload(path)
        assert retries
        assert server.begun == len(retries) + 2  # the two routes' first attempts


async def test_over_tls_a_slow_body_is_tolerated_and_a_stop_times_out() -> None:
    """TLS buffers more unsent data than TCP does."""

    async def slowly() -> None:
        await asyncio.sleep(2 * LIMIT / STEPS)

    options: dict[str, Any] = {"retry": ONCE, "ssl": client_side()}
    # Data in TLS's buffer counts as sent, so the response may arrive much later.
    by_piece = Timeouts(connect=60, first_byte=LIMIT, total=3600, run=3600)
    async with reading(slowly, tls=server_side()) as server:
        async with Session("a:b", hosts=server.hosts, timeout=by_piece, **options) as fal:
            await fal.run(LLM, {"text": "x" * SIZE})
        server.pace = asyncio.Event().wait
        hasty = Timeouts(connect=60, first_byte=0.2, total=3600, run=3600)
        async with Session("a:b", hosts=server.hosts, timeout=hasty, **options) as fal:
            with pytest.raises(SubmissionUncertainError, match="accepted no more of the request"):
                await fal.run(LLM, {"text": "x" * SIZE})
