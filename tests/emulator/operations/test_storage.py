from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Emulator, Fault, JobContext
from tests.emulator.caller import Caller, Reply

KiB = 1024
FORM = {"file_name": "my cat.png", "content_type": "image/png"}
TYPES = {"storage_type": "fal-cdn-v3"}
NO_AUTH: dict[str, str] = {}


async def token_of(caller: Caller, **form: Any) -> dict[str, str]:
    granted = await caller.call("POST", "/rest.fal.ai/storage/auth/token", params=TYPES, json=form)
    assert granted.status == 200
    assert granted.data["base_url"] == f"{caller.emulator.url}/v3.fal.media"
    return {"Authorization": f"{granted.data['token_type']} {granted.data['token']}"}


async def initiate(caller: Caller, how: str = "initiate", **headers: str) -> Reply:
    path = f"/rest.fal.ai/storage/upload/{how}"
    return await caller.call("POST", path, params=TYPES, json=FORM, headers=caller.with_headers(**headers))


async def direct(caller: Caller, data: bytes = b"data", lifecycle: Mapping[str, str] | None = None) -> str:
    """Upload a small file over route C, and return its URL."""
    headers = lifecycle or {}
    named = {**await token_of(caller), "X-Fal-File-Name": "a.bin", "Content-Type": "application/x-a"}
    sent = await caller.call("POST", "/v3.fal.media/files/upload", data=data, headers={**named, **headers})
    assert sent.status == 200
    url: str = sent.data["access_url"]
    return url


async def until(status: int, ask: Callable[[], Awaitable[Reply]]) -> None:
    """Repeat a request until it has this status, for changes that take real time."""
    async with asyncio.timeout(5):
        while (await ask()).status != status:
            await asyncio.sleep(0.02)


def inserted(url: str, piece: str) -> str:
    """Insert a piece between path and query (protocol 7.1 B)."""
    path, _, query = url.partition("?")
    return f"{path}/{piece}?{query}"


async def test_a_presigned_upload_is_served_after_its_put_and_not_before(caller: Caller) -> None:
    begun = await initiate(caller)
    assert (await caller.get(begun.data["file_url"])).status == 404
    headers = {"Content-Type": "image/png"}
    put = await caller.call("PUT", begun.data["upload_url"], data=b"picture", headers=headers)
    assert put.status == 200
    read = await caller.get(begun.data["file_url"], headers=NO_AUTH)
    assert (read.status, read.body, read.headers["Content-Type"]) == (200, b"picture", "image/png")
    assert begun.data["file_url"].endswith("/my_cat.png")


@pytest.mark.parametrize("host", ["rest.fal.ai", "rest.alpha.fal.ai"])
@pytest.mark.parametrize("query", ["", "?", "/", "?storage_type=", "?storage_type=fal-cdn"])
async def test_uploads_work_without_a_storage_type_and_on_both_rest_hosts(
    caller: Caller, host: str, query: str
) -> None:
    begun = await caller.call("POST", f"/{host}/storage/upload/initiate{query}", json=FORM)
    headers = {"Content-Type": "image/png"}
    assert (await caller.call("PUT", begun.data["upload_url"], data=b"a", headers=headers)).status == 200
    assert (await caller.get(begun.data["file_url"], headers=NO_AUTH)).body == b"a"
    in_parts = await caller.call("POST", f"/{host}/storage/upload/initiate-multipart{query}", json=FORM)
    put = await caller.call("PUT", inserted(in_parts.data["upload_url"], "1"), data=b"a", headers=NO_AUTH)
    assert put.data["partNumber"] == 1
    granted = await caller.call("POST", f"/{host}/storage/auth/token{query}")
    token = {"Authorization": f"{granted.data['token_type']} {granted.data['token']}"}
    sent = await caller.call(
        "POST", f"{granted.data['base_upload_url']}/files/upload", data=b"a", headers=token
    )
    assert (await caller.get(sent.data["access_url"], headers=NO_AUTH)).body == b"a"


@pytest.mark.parametrize("path", ["upload/initiate", "upload/initiate-multipart", "auth/token"])
async def test_an_unknown_storage_type_is_refused_with_422(caller: Caller, path: str) -> None:
    params = {"storage_type": "tape"}
    refused = await caller.call("POST", f"/rest.fal.ai/storage/{path}", params=params, json=FORM)
    assert refused.status == 422
    assert "fal-cdn-v3" in refused.data["detail"]


async def test_an_upload_with_a_very_long_file_name_is_stored_under_a_shorter_one(caller: Caller) -> None:
    for name in ("a" * 3000 + ".png", "a" * 3000, "." + "a" * 300):
        headers = {**await token_of(caller), "X-Fal-File-Name": name}
        sent = await caller.call("POST", "/v3.fal.media/files/upload", data=b"data", headers=headers)
        assert sent.status == 200
        assert sent.data["access_url"].endswith(".png") == name.endswith(".png")
        assert (await caller.get(sent.data["access_url"])).body == b"data"


async def test_reading_a_path_that_cannot_exist_on_disk_is_a_404(tmp_path: Path) -> None:
    async with Emulator(folder=tmp_path) as emulator, aiohttp.ClientSession() as http:
        for path in ("files/b/%00", "files/b/" + "a" * 3000, "files/" + "a/" * 3000):
            async with http.get(f"{emulator.url}/v3b.fal.media/{path}") as answer:
                assert answer.status == 404


async def test_a_presigned_url_needs_its_signature_and_ignores_a_key(caller: Caller) -> None:
    begun = await initiate(caller)
    url = begun.data["upload_url"]
    assert (await caller.call("PUT", url, data=b"x")).status == 200
    begun = await initiate(caller)
    url = begun.data["upload_url"]
    assert (await caller.call("PUT", url.partition("?")[0], data=b"x")).status == 403
    assert (await caller.call("PUT", url.partition("?")[0], data=b"x", headers=NO_AUTH)).status == 403
    assert (await caller.call("PUT", inserted(url, "1"), data=b"x", headers=NO_AUTH)).status == 404
    refused = await caller.call(
        "POST", "/rest.fal.ai/storage/upload/initiate", params=TYPES, json=FORM, headers=NO_AUTH
    )
    assert refused.status == 401


async def test_a_presigned_upload_in_parts_is_joined_in_order_and_completed_once(caller: Caller) -> None:
    begun = await initiate(caller, "initiate-multipart")
    url = begun.data["upload_url"]
    parts = [bytes([number]) * (4 * KiB) for number in range(3)] + [b"end"]
    listed = []
    for number in (4, 2, 1, 3):
        put = await caller.call("PUT", inserted(url, str(number)), data=parts[number - 1], headers=NO_AUTH)
        md5 = hashlib.md5(parts[number - 1]).hexdigest()
        assert put.data == {"partNumber": number, "etag": f'"{md5}"'}
        assert put.headers["ETag"] == f'"{md5}"'
        listed.append(put.data)
    listed.sort(key=lambda part: part["partNumber"])
    done = await caller.call("POST", inserted(url, "complete"), json={"parts": listed}, headers=NO_AUTH)
    assert done.status == 200
    assert (await caller.get(begun.data["file_url"])).body == b"".join(parts)
    again = await caller.call("POST", inserted(url, "complete"), json={"parts": listed}, headers=NO_AUTH)
    assert again.status == 404


async def test_a_gcs_upload_in_parts_is_joined_in_order_and_completed_once(caller: Caller) -> None:
    path = "/rest.fal.ai/storage/upload/initiate-multipart"
    begun = await caller.call("POST", path, params={"storage_type": "gcs"}, json=FORM)
    url, parts = begun.data["upload_url"], [bytes([number]) * KiB for number in range(3)]
    listed = []
    for number in (2, 3, 1):
        asked = await caller.call("POST", f"{url}/{number}")
        put = await caller.call("PUT", asked.data["upload_url"], data=parts[number - 1], headers=NO_AUTH)
        listed.append({"part_number": number, "etag": put.headers["ETag"].strip('"')})
    for form in ({"parts": listed[:1]}, {"parts": [{"partNumber": 1, "etag": "x"}]}, {}):
        assert (await caller.call("POST", f"{url}/complete", json=form)).status == 400
    assert (await caller.call("POST", f"{url}/complete", json={"parts": listed})).status == 200
    assert (await caller.get(begun.data["file_url"])).body == b"".join(parts)
    assert (await caller.call("POST", f"{url}/1")).status == 404, "it is complete"
    for piece in ("1", "complete"):
        assert (await caller.call("POST", f"{url}/{piece}", headers=NO_AUTH)).status == 401


class CdnUpload:
    """An upload over route C in parts, step by step."""

    def __init__(self, caller: Caller, headers: dict[str, str], begun: Reply) -> None:
        self.caller, self.headers = caller, headers
        self.url = begun.data["access_url"]
        self.base = f"{self.url}/multipart/{begun.data['uploadId']}"

    @classmethod
    async def begin(cls, caller: Caller) -> CdnUpload:
        headers = {**await token_of(caller), "X-Fal-File-Name": "big.bin", "Content-Type": "video/mp4"}
        begun = await caller.call("POST", "/v3.fal.media/files/upload/multipart", headers=headers)
        assert begun.status == 200
        return cls(caller, headers, begun)

    async def put(self, number: int, data: bytes, **headers: str) -> Reply:
        asked = {"Accept-Encoding": "identity", **headers}
        return await self.caller.call(
            "PUT", f"{self.base}/{number}", data=data, headers={**self.headers, **asked}
        )

    async def complete(self, *listed: tuple[int, str]) -> Reply:
        form = {"parts": [{"partNumber": number, "etag": etag} for number, etag in listed]}
        return await self.caller.call("POST", f"{self.base}/complete", json=form, headers=self.headers)


async def test_an_upload_with_a_cdn_token_is_served_and_one_with_the_key_is_refused(caller: Caller) -> None:
    url = await direct(caller, b"data")
    read = await caller.get(url, headers=NO_AUTH)
    assert (read.body, read.headers["Content-Type"]) == (b"data", "application/x-a")
    with_key = await caller.call("POST", "/v3.fal.media/files/upload", data=b"x")
    assert with_key.status == 401, "the CDN does not accept the API key"


async def test_a_cdn_upload_in_parts_is_completed_with_parts_in_any_order(caller: Caller) -> None:
    upload = await CdnUpload.begin(caller)
    first, second = await upload.put(1, b"a" * KiB), await upload.put(2, b"b")
    assert "ETag" not in (await upload.put(2, b"b", **{"Accept-Encoding": "gzip"})).headers
    # In any order, since fal's own client lists parts as they finish.
    done = await upload.complete((2, second.headers["ETag"].strip('"')), (1, first.headers["ETag"]))
    assert done.status == 200
    assert (await caller.get(upload.url)).body == b"a" * KiB + b"b"
    assert [r.size for r in caller.emulator.requests if r.kind == "part"] == [KiB, 1, 1]
    assert all(r.body == b"" for r in caller.emulator.requests if r.kind == "part")


@pytest.mark.parametrize(
    ("sizes", "numbers", "word"),
    [
        ((4, 4), (1, 1), "expected the parts"),
        ((4, 4), (2,), "expected the parts"),
        ((4, 4), (), "expected the parts"),
        ((4, 4), (1, 2, 3), "part 3 is missing"),
        ((4, 3, 4), (1, 2, 3), "same size"),
        ((4, 5), (1, 2), "same size"),
    ],
    ids=str,
)
async def test_completing_missing_repeated_or_unequal_parts_is_refused_with_400(
    caller: Caller, sizes: tuple[int, ...], numbers: tuple[int, ...], word: str
) -> None:
    upload = await CdnUpload.begin(caller)
    etags = {
        number: (await upload.put(number, b"x" * size)).headers["ETag"]
        for number, size in enumerate(sizes, 1)
    }
    refused = await upload.complete(*((number, etags.get(number, "none")) for number in numbers))
    assert refused.status == 400
    assert word in refused.data["detail"]
    assert (await caller.get(upload.url)).status == 404


async def test_wrong_part_numbers_etags_and_tokens_are_refused(caller: Caller) -> None:
    upload = await CdnUpload.begin(caller)
    assert (await upload.put(0, b"x")).status == 400
    assert (await upload.put(10_001, b"x")).status == 400
    await upload.put(1, b"x")
    assert (await upload.complete((1, "wrong"))).status == 400
    malformed = await caller.call("POST", f"{upload.base}/complete", json={}, headers=upload.headers)
    assert malformed.status == 400
    caller.emulator.revoke_cdn_tokens()
    assert (await upload.put(1, b"x")).status == 401
    upload.headers |= await token_of(caller)
    assert (await upload.put(1, b"x")).status == 200, "the token may change during an upload"


async def test_parts_below_min_part_size_are_refused_on_completion() -> None:
    async with Emulator(min_part_size=KiB) as emulator, aiohttp.ClientSession() as http:
        upload = await CdnUpload.begin(Caller(emulator, http))
        etags = [(n, (await upload.put(n, b"x" * 100)).headers["ETag"]) for n in (1, 2)]
        assert "EntityTooSmall" in (await upload.complete(*etags)).data["detail"]


async def test_an_upload_with_an_expired_cdn_token_gets_401() -> None:
    async with Emulator(cdn_token_lifetime=0.05) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        headers = await token_of(caller)
        await until(401, lambda: caller.call("POST", "/v3.fal.media/files/upload", headers=headers))


async def test_a_file_can_be_read_in_ranges_and_by_head(caller: Caller) -> None:
    url = await direct(caller, b"0123456789")
    some = await caller.get(url, headers={"Range": "bytes=3-5"})
    assert (some.status, some.body, some.headers["Content-Range"]) == (206, b"345", "bytes 3-5/10")
    assert (await caller.get(url, headers={"Range": "bytes=10-"})).status == 416
    head = await caller.call("HEAD", url)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "10", b"")


async def test_an_interrupted_download_is_resumed_by_ranges_with_the_same_etag(caller: Caller) -> None:
    data = bytes(range(256)) * KiB
    url = await direct(caller, data)
    caller.emulator.faults.add(Fault.truncate(on="file"), Fault.truncate(on="file"))
    got, etags = b"", set()
    while len(got) < len(data):
        async with caller.http.get(url, headers={"Range": f"bytes={len(got)}-"}) as response:
            etags.add(response.headers["ETag"])
            try:
                async for piece in response.content.iter_any():
                    got += piece
            except aiohttp.ClientPayloadError:
                pass
    assert got == data
    assert len(etags) == 1
    assert caller.emulator.count("file") == 3


async def test_an_uploaded_file_expires_by_either_lifecycle_header(caller: Caller) -> None:
    one_second = json.dumps({"expiration_duration_seconds": 1})
    for name in ("X-Fal-Object-Lifecycle", "X-Fal-Object-Lifecycle-Preference"):
        url = await direct(caller, lifecycle={name: one_second})
        assert (await caller.get(url)).status == 200
        await until(404, partial(caller.get, url))


async def test_a_lifecycle_header_applies_to_produced_files_and_a_broken_one_is_refused(
    caller: Caller,
) -> None:
    @caller.emulator.endpoint("me/file")
    async def produce(input: Any, job: JobContext) -> Any:
        return await job.file(input["text"].encode(), "text/plain", "a.txt")

    header = {"X_Fal_Object_Lifecycle_Preference": json.dumps({"initial_acl": {"default": "hide"}})}
    hidden = await caller.run("me/file", {"text": "x"}, headers=caller.with_headers(**header))
    assert (await caller.get(hidden.data["url"], headers=NO_AUTH)).status == 404
    bad = caller.with_headers(X_Fal_Object_Lifecycle="{")
    assert (await caller.run("me/file", {"text": "x"}, headers=bad)).status == 400


@pytest.mark.parametrize(("decision", "status"), [("allow", 200), ("forbid", 403), ("hide", 404)])
async def test_a_restricted_file_is_readable_by_its_owner_and_by_signed_urls(
    caller: Caller, decision: str, status: int
) -> None:
    url = await direct(
        caller, lifecycle={"X-Fal-Object-Lifecycle": json.dumps({"initial_acl": {"default": decision}})}
    )
    assert (await caller.get(url, headers=NO_AUTH)).status == status
    assert (await caller.get(url, headers=await token_of(caller))).status == 200
    signed = await caller.call(
        "POST", "/api.fal.ai/v1/storage/files/sign", params={"url": url}, json={"expiration_seconds": 60}
    )
    assert (await caller.get(signed.data["signed_url"], headers=NO_AUTH)).body == b"data"
    by_cdn = await caller.call("POST", f"{url}/sign", json={"duration": 60}, headers=await token_of(caller))
    assert (await caller.get(by_cdn.body.decode(), headers=NO_AUTH)).body == b"data"


async def test_an_acl_can_be_read_and_changed_on_both_hosts(caller: Caller) -> None:
    url = await direct(caller)
    acl = {"default": "hide", "rules": [{"user": "bob", "decision": "allow"}]}
    for base in ("/api.fal.ai/v1/storage/files/acl", "/rest.fal.ai/storage/files/acl"):
        assert (await caller.call("PUT", base, params={"url": url}, json=acl)).data == acl
        assert (await caller.get(base, params={"url": url})).data == acl
    assert (await caller.get(url, headers=NO_AUTH)).status == 404
    wrong = await caller.call(
        "PUT", "/api.fal.ai/v1/storage/files/acl", params={"url": url}, json={"default": "maybe"}
    )
    assert wrong.status == 400
    elsewhere = {"url": "https://example.com/files/b/00000000/x"}
    assert (await caller.get("/api.fal.ai/v1/storage/files/acl", params=elsewhere)).status == 404
    assert (await caller.get("/api.fal.ai/v1/storage/files/acl", headers=NO_AUTH)).status == 401


async def test_a_signed_url_has_a_limited_lifetime_and_expires(caller: Caller) -> None:
    url = await direct(
        caller, lifecycle={"X-Fal-Object-Lifecycle": json.dumps({"initial_acl": {"default": "forbid"}})}
    )
    path = "/api.fal.ai/v1/storage/files/sign"
    for seconds in (0, 604_801, None):
        refused = await caller.call("POST", path, params={"url": url}, json={"expiration_seconds": seconds})
        assert refused.status == 400
    signed = await caller.call("POST", path, params={"url": url}, json={"expiration_seconds": 1})
    await until(403, lambda: caller.get(signed.data["signed_url"], headers=NO_AUTH))


async def test_account_defaults_apply_to_uploads_without_their_own_lifecycle(caller: Caller) -> None:
    path = "/api.fal.ai/v1/storage/settings"
    plain = {"expiration_duration_seconds": None, "initial_acl": {"default": "allow", "rules": []}}
    assert (await caller.get(path)).data == plain
    changed = {"expiration_duration_seconds": 1, "initial_acl": {"default": "forbid", "rules": []}}
    assert (await caller.call("PUT", path, json=changed)).data == changed
    assert (await caller.get(await direct(caller), headers=NO_AUTH)).status == 403
    stays = await direct(
        caller, lifecycle={"X-Fal-Object-Lifecycle": '{"expiration_duration_seconds": null}'}
    )
    assert (await caller.get(stays, headers=NO_AUTH)).status == 403, "null asks for no expiry only"
    assert (await caller.call("PUT", path, json={"expiration_duration_seconds": -1})).status == 400
    cleared = await caller.call("PUT", path, json={"expiration_duration_seconds": 60})
    assert cleared.data == {**plain, "expiration_duration_seconds": 60}, "a PUT clears what it leaves out"


@pytest.mark.parametrize(
    "fault",
    [Fault.answer(503, on="part"), Fault.reset(on="part"), Fault.close(on="part")],
    ids=["answer", "reset", "close"],
)
async def test_a_fault_on_a_part_leaves_no_file_behind(tmp_path: Path, fault: Fault) -> None:
    async with Emulator(folder=tmp_path) as emulator, aiohttp.ClientSession() as http:
        upload = await CdnUpload.begin(Caller(emulator, http))
        # Twice, since aiohttp repeats a PUT when its connection breaks.
        emulator.faults.add(fault, *([fault] if fault.kind != "answer" else []))
        try:
            assert (await upload.put(1, b"x" * 300 * KiB)).status == 503
        except aiohttp.ClientConnectionError:
            assert fault.kind != "answer"
        assert files_under(tmp_path) == []
        assert (await upload.put(1, b"x")).status == 200


async def test_a_part_whose_sender_leaves_halfway_leaves_no_file_behind(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b"x" * KiB
        begun.set()
        await ended.wait()

    async with Emulator(folder=tmp_path) as emulator, aiohttp.ClientSession() as http:
        upload = await CdnUpload.begin(Caller(emulator, http))
        headers = {**upload.headers, "Content-Length": str(2 * KiB)}
        sending = asyncio.create_task(
            upload.caller.call("PUT", f"{upload.base}/1", data=half(), headers=headers)
        )
        await emulator.wait_for("part")
        await begun.wait()
        sending.cancel()
        await asyncio.wait([sending])
        while emulator.requests[-1].size < KiB or files_under(tmp_path):
            await asyncio.sleep(0.01)
        assert next(iter(emulator.uploads.values())).parts == {}


async def test_stop_removes_unfinished_parts_but_keeps_files_in_a_given_folder(tmp_path: Path) -> None:
    async with Emulator(folder=tmp_path) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        path = (await direct(caller, b"stays")).partition(".media/")[2]
        await (await CdnUpload.begin(caller)).put(1, b"goes")
        assert len(files_under(tmp_path)) == 2
    assert [file.read_bytes() for file in files_under(tmp_path)] == [b"stays"]
    async with Emulator(folder=tmp_path) as emulator, aiohttp.ClientSession() as http:
        assert (await Caller(emulator, http).get(f"/v3b.fal.media/{path}")).body == b"stays"
        outside = await Caller(emulator, http).get("/v3b.fal.media/files/..%2f..%2f..%2fetc%2fpasswd")
        assert outside.status == 404


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
