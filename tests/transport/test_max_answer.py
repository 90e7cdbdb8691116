"""`max_answer=` limits whole responses after decompression, but not what is read in pieces."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async import (
    ApiError,
    ConfigurationError,
    FalError,
    Hosts,
    RealtimeError,
    Session,
    StreamError,
    SubmissionUncertainError,
    TransportError,
)
from fal_async.emulator import Emulator
from tests.quick import quick
from tests.servers.raw import Asked, answer, raw_server

APP = "me/app"
MOST = 1000
PACK: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
PACKED = pytest.mark.parametrize("encoding", PACK)
BOMB = 64 * 1024 * 1024
DECODES_IN_PIECES = pytest.mark.skipif(
    tuple(map(int, aiohttp.__version__.split(".")[:2])) < (3, 14),
    reason="aiohttp decodes what it reads at once",
)


def served(body: bytes, encoding: str = "gzip", status: int = 200) -> Callable[[Asked], bytes]:
    def told(_: Asked) -> bytes:
        packed = PACK[encoding](body)
        return answer(packed, status, content_encoding=encoding, x_fal_request_id="some", content_type=kind)

    kind = "application/json"
    return told


def document(size: int) -> bytes:
    shell = len(json.dumps({"text": ""}))
    return json.dumps({"text": "x" * (size - shell)}).encode()


def limited(url: str, most: int = MOST) -> Session:
    return Session("a:b", hosts=Hosts.local(url), retry=quick(), max_answer=most)


@PACKED
async def test_a_response_of_exactly_max_answer_bytes_is_accepted(encoding: str) -> None:
    async with raw_server(served(document(MOST), encoding)) as url, limited(url) as fal:
        assert len((await fal.queue.result(APP, "some")).data["text"]) > 900


@PACKED
async def test_a_result_above_max_answer_raises_without_a_retry_and_stays_available(encoding: str) -> None:
    async with raw_server(served(document(MOST + 1), encoding)) as url:
        async with limited(url) as fal:
            with pytest.raises(TransportError, match="max_answer=") as caught:
                await fal.queue.result(APP, "some")
        assert caught.value.request_id == "some"
        assert not caught.value.retryable
        async with limited(url, MOST + 1) as fal:
            assert (await fal.queue.result(APP, "some")).data


@PACKED
async def test_a_direct_run_above_max_answer_is_uncertain_and_has_the_id(encoding: str) -> None:
    async with raw_server(served(document(MOST + 1), encoding)) as url, limited(url) as fal:
        with pytest.raises(SubmissionUncertainError, match="max_answer=") as caught:
            await fal.run(APP, {})
    assert caught.value.request_id == "some"


async def test_max_answer_limits_every_other_whole_response() -> None:
    async with raw_server(served(document(MOST + 1))) as url, limited(url) as fal:
        for ask in (
            fal.queue.status(APP, "some"),
            fal.queue.cancel(APP, "some"),
            fal.storage.upload(b"bytes"),
            fal.webhooks.fetch_keys(),
        ):
            with pytest.raises(FalError, match="max_answer="):
                await ask


async def test_an_error_response_above_max_answer_is_cut_and_stays_that_error() -> None:
    body = json.dumps({"detail": "x " * MOST}).encode()
    for status in (400, 422, 500):
        async with raw_server(served(body, status=status)) as url, limited(url) as fal:
            for ask in (fal.run(APP, {}), fal.stream(APP, {}).last()):
                with pytest.raises(ApiError) as caught:
                    await ask
                assert caught.value.status == status
                assert len(caught.value.body) == MOST


async def test_max_answer_limits_a_stream_that_is_one_json_value() -> None:
    async with raw_server(served(document(MOST + 1))) as url, limited(url) as fal:
        with pytest.raises(StreamError, match="max_answer=") as caught:
            await fal.stream(APP, {}).last()
    assert caught.value.reason == "too_large"


async def test_max_answer_limits_an_answer_over_a_websocket(emulator: Emulator) -> None:
    @emulator.endpoint("me/long")
    async def long(input: Any) -> Any:
        return {"text": "x" * input["size"]}

    async with (
        Session(emulator.key, hosts=emulator.hosts, max_answer=MOST) as fal,
        fal.websocket("me/long") as calls,
    ):
        assert (await calls.run({"size": 10})).data == {"text": "x" * 10}
        with pytest.raises(RealtimeError, match=r"max_answer=|1009"):
            await calls.run({"size": MOST})


@DECODES_IN_PIECES
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compression_bomb_is_not_decoded_to_its_end(encoding: str) -> None:
    async with raw_server(served(bytes(BOMB), encoding)) as url, limited(url) as fal:
        tracemalloc.start()
        try:
            with pytest.raises(TransportError, match="max_answer="):
                await fal.queue.result(APP, "some")
            assert tracemalloc.get_traced_memory()[1] < BOMB // 4
        finally:
            tracemalloc.stop()


@DECODES_IN_PIECES
async def test_downloads_and_byte_streams_may_exceed_max_answer(tmp_path: Path) -> None:
    def told(_: Asked) -> bytes:
        return answer(packed, content_encoding="gzip", content_type="application/octet-stream")

    packed = gzip.compress(bytes(BOMB))
    async with raw_server(told) as url, limited(url) as fal:
        tracemalloc.start()
        try:
            path = await fal.storage.download(f"{url}/file.bin", tmp_path / "file.bin")
            count = 0
            async for chunk in fal.stream(APP, {}):
                count += len(chunk)
            assert tracemalloc.get_traced_memory()[1] < BOMB // 4
        finally:
            tracemalloc.stop()
    assert path.stat().st_size == count == BOMB


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1 MB"])
def test_a_wrong_max_answer_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_answer"):
        Session("a:b", max_answer=wrong)
