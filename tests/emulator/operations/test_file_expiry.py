"""Produced files that expire, and files that share their bytes."""

from __future__ import annotations

import contextlib
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Emulator, Fault, JobContext
from tests.emulator.caller import Caller, calling

DATA = bytes(range(256))


async def file_of(caller: Caller, data: bytes = DATA, **headers: str) -> str:
    """Return the URL of a file that a model produces."""

    @caller.emulator.endpoint("me/file")
    async def model(_: Any, job: JobContext) -> Any:
        return await job.file(data, "image/png", "a.png")

    url: str = (await caller.run("me/file", {}, headers=caller.with_headers(**headers))).data["url"]
    return url


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_expire_files_removes_the_named_files_or_all_with_the_given_status(
    caller: Caller, status: int
) -> None:
    gone, there = await file_of(caller), await file_of(caller)
    caller.emulator.expire_files(gone, status=status)
    assert (await caller.get(gone, headers={})).status == status
    assert (await caller.get(there, headers={})).body == DATA
    with pytest.raises(KeyError, match=gone):
        caller.emulator.expire_files(there, gone)
    assert (await caller.get(there, headers={})).body == DATA
    caller.emulator.expire_files()
    assert (await caller.get(there, headers={})).status == 404
    with pytest.raises(ValueError, match="403, 404, 410"):
        caller.emulator.expire_files(status=500)


async def test_produced_files_expire_by_file_lifetime_unless_their_request_sets_another() -> None:
    async with calling(Emulator(file_lifetime=0.0, gone_status=410)) as caller:
        asked = '{"expiration_duration_seconds": 60}'
        assert (await caller.get(await file_of(caller), headers={})).status == 410
        kept = await file_of(caller, X_Fal_Object_Lifecycle=asked)
        assert (await caller.get(kept, headers={})).status == 200
        never = kept.rpartition("/b/")[0] + "/b/00000000/a.png"
        assert (await caller.get(never, headers={})).status == 404


def test_the_emulator_refuses_a_gone_status_other_than_403_404_410() -> None:
    with pytest.raises(ValueError, match="403, 404, 410"):
        Emulator(gone_status=500)


async def test_the_admin_route_expires_files_once(caller: Caller) -> None:
    url = await file_of(caller)
    wanted = {"urls": [url], "status": 410}
    assert (await caller.call("POST", "/_emulator/files/expire", json=wanted, headers={})).status == 200
    assert (await caller.get(url, headers={})).status == 410
    assert (await caller.call("POST", "/_emulator/files/expire", json=wanted, headers={})).status == 400


async def test_files_with_the_same_bytes_have_different_urls_and_are_stored_once(caller: Caller) -> None:
    urls = [await file_of(caller) for _ in range(5)]
    assert len(set(urls)) == 5
    assert caller.emulator.folder is not None
    assert len([path for path in caller.emulator.folder.rglob("*") if path.is_file()]) == 1
    caller.emulator.expire_files(*urls[:2])
    statuses = [(await caller.get(url, headers={})).status for url in urls]
    assert statuses == [404, 404, 200, 200, 200]


async def test_a_file_in_memory_is_served_like_one_on_disk(caller: Caller) -> None:
    on_disk, in_memory = await file_of(caller), await file_of(caller)

    async def answers(url: str) -> list[tuple[int, bytes, str | None]]:
        etag = (await caller.get(url, headers={})).headers["ETag"]
        asked: list[dict[str, str]] = [
            {},
            {"Range": "bytes=3-5"},
            {"Range": "bytes=250-"},
            {"Range": "bytes=-4"},
            {"Range": "bytes=256-"},
            {"Range": "bytes=3-5", "If-Range": etag},
        ]
        replies = [await caller.get(url, headers=headers) for headers in asked]
        head = await caller.call("HEAD", url, headers={})
        whole = [(reply.status, reply.body, reply.headers.get("Content-Range")) for reply in replies]
        return [*whole, (head.status, head.body, head.headers["Content-Length"])]

    assert await answers(in_memory) == await answers(on_disk)
    changed = {"Range": "bytes=3-5", "If-Range": '"another"'}
    assert (await caller.get(in_memory, headers=changed)).status == 200


async def test_an_interrupted_download_of_a_file_in_memory_can_be_resumed(caller: Caller) -> None:
    await file_of(caller)
    url = await file_of(caller)
    caller.emulator.faults.add(Fault.truncate(on="file"))
    async with caller.http.get(url) as response:
        etag, got = response.headers["ETag"], bytearray()
        with contextlib.suppress(aiohttp.ClientPayloadError):
            async for chunk in response.content.iter_any():
                got += chunk
        assert 0 < len(got) < len(DATA)
    rest = await caller.get(url, headers={"Range": f"bytes={len(got)}-", "If-Range": etag})
    assert (rest.status, bytes(got) + rest.body) == (206, DATA)


async def test_a_given_folder_contains_each_produced_file(tmp_path: Any) -> None:
    async with calling(Emulator(folder=tmp_path)) as caller:
        for _ in range(3):
            await file_of(caller)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


async def test_plain_pictures_of_the_same_size_have_the_same_bytes() -> None:
    async with calling(Emulator(plain_pictures=True, speed=1000)) as caller:
        bodies = []
        for prompt, size in (("a", "square"), ("b", "square"), ("c", {"width": 3, "height": 2})):
            answer = await caller.run("fal-ai/flux/dev", {"prompt": prompt, "image_size": size})
            (image,) = answer.data["images"]
            body = (await caller.get(image["url"], headers={})).body
            bodies.append(body)
            width, height = (int.from_bytes(body[at : at + 4], "big") for at in (16, 20))
            assert (width, height) == (image["width"], image["height"])
        assert bodies[0] == bodies[1] != bodies[2]
        live = await caller.run("fal-ai/fast-lcm-diffusion", {"prompt": "x", "size": 64})
        assert live.data["images"][0]["width"] == 64
