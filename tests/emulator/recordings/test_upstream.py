"""The client with which recordings reach fal, against an emulator that plays it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fal_async.emulator import Emulator, Fault
from fal_async.emulator.recordings.upstream import Upstream
from fal_async.emulator.recordings.upstream_connections import UpstreamError

KEY = "an-id:a5ec2eta5ec2et"


@pytest.fixture
async def real() -> AsyncIterator[Emulator]:
    async with Emulator(key=KEY, builtins=False) as real:

        @real.endpoint("me/echo/sub")
        async def echo(input: Any) -> Any:
            return input

        yield real


@pytest.fixture
async def upstream(real: Emulator) -> AsyncIterator[Upstream]:
    upstream = Upstream(KEY, real.url)
    yield upstream
    await upstream.close()


async def test_the_key_is_sent_to_api_hosts_but_neither_with_uploads_nor_with_downloads(
    real: Emulator, upstream: Upstream
) -> None:
    url = await upstream.upload(b"bytes", "text/plain", "a file.txt")
    assert url.startswith(f"{real.url}/v3b.fal.media/files/")
    assert (await upstream.download(upstream.as_fals(url))).body == b"bytes"
    submitted = await upstream.submit("me/echo/sub", b"{}", {}, {})
    await upstream.cancel("me/echo/sub", upstream.read(submitted)["request_id"])
    with_key = {request.kind: "Authorization" in request.headers for request in real.requests}
    assert with_key == {"initiate": True, "upload": False, "file": False, "submit": True, "cancel": True}


async def test_only_headers_and_options_that_fal_reads_are_passed_on(
    real: Emulator, upstream: Upstream
) -> None:
    headers = {
        "authorization": "Key emulator:key",
        "Cookie": "a=b",
        "X-Fal-Cdn-Token": "token",
        "X-Fal-Runner-Hint": "hint",
        "Content-Type": "application/json",
    }
    query = {"fal_webhook": "http://localhost/hook", "fal_max_queue_length": "7"}
    assert (await upstream.submit("me/echo/sub", b"{}", headers, query)).status == 200
    [seen] = real.requests
    assert seen.headers["Authorization"] == f"Key {KEY}"
    assert seen.headers["X-Fal-Runner-Hint"] == "hint"
    assert not {"Cookie", "X-Fal-Cdn-Token"} & set(seen.headers)
    assert dict(seen.query) == {"fal_max_queue_length": "7"}


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
async def test_a_call_that_may_be_billed_is_sent_once_although_its_connection_breaks(
    real: Emulator, upstream: Upstream, method: str
) -> None:
    async with upstream.run(method, "me/echo/sub", b"", {}, {}) as reply:
        assert (await reply.whole()).status == 200
    real.faults.add(Fault.close(on="run", times=None))
    with pytest.raises(UpstreamError) as lost:
        async with upstream.run(method, "me/echo/sub", b"", {}, {}):
            pass
    assert lost.value.sent
    assert real.count("run") == 2


async def test_a_download_is_repeated_after_an_error_of_the_server(
    real: Emulator, upstream: Upstream
) -> None:
    url = await upstream.upload(b"bytes", "text/plain", "a.txt")
    real.faults.add(Fault.answer(503, on="file"), Fault.reset(on="file"))
    assert (await upstream.download(url)).body == b"bytes"
    real.faults.add(Fault.answer(503, on="file", times=3))
    with pytest.raises(UpstreamError, match="can't be downloaded"):
        await upstream.download(url)


async def test_errors_and_representations_name_the_place_without_secrets(real: Emulator) -> None:
    address = real.url
    upstream = Upstream(KEY, f"{address}/")
    assert repr(upstream) == f"Upstream({address!r})"
    await real.stop()
    with pytest.raises(UpstreamError, match=f"{address}/fal.run/me/a can't be reached") as failed:
        async with upstream.run("GET", "me/a", b"", {}, {"token": "secret"}):
            pass
    assert not failed.value.sent
    assert "secret" not in str(failed.value)
    await upstream.close()


@pytest.mark.parametrize(
    "address",
    ["", "fal.run", "ftp://a", "http://", "http://a:0", "http://a?key=secret", "http://me:secret@a"],
)
def test_an_address_that_is_not_a_base_url_is_refused_without_its_secrets(address: str) -> None:
    with pytest.raises(ValueError, match="expected a base URL such as") as refused:
        Upstream(KEY, address)
    assert "secret" not in str(refused.value)
