"""Hosts that are not services of the session get none of its headers, and no password of the user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web

from fal_async import Hosts, Session
from fal_async.emulator import Emulator
from tests.quick import ASK, LLM, ONCE
from tests.servers.serving import listening

GATEWAY = {"X-Gateway-Secret": "s3cr3t", "Cookie": "session=abc", "User-Agent": "my-app"}
SECRET = {"x-gateway-secret", "cookie", "authorization"}


@attrs.define
class Stranger:
    """A server that records the headers it gets. It answers with a file, or redirects to `leads_to`."""

    leads_to: str | None = None
    url: str = ""
    seen: list[web.BaseRequest] = attrs.field(factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        await request.read()
        if self.leads_to is not None:
            return web.Response(status=302, headers={"Location": self.leads_to})
        return web.Response(body=b"picture", content_type="image/png", headers={"ETag": '"e"'})

    def was_sent(self) -> set[str]:
        """Return which secrets it got, over all requests."""
        assert self.seen
        return SECRET & {name.lower() for request in self.seen for name in request.headers}


@asynccontextmanager
async def stranger(leads_to: str | None = None) -> AsyncIterator[Stranger]:
    there = Stranger(leads_to)
    async with listening(there.answer) as there.url:
        yield there


@asynccontextmanager
async def behind_a_gateway(emulator: Emulator, **hosts: Any) -> AsyncIterator[Session]:
    services = attrs.evolve(emulator.hosts, **hosts)
    async with Session(emulator.key, hosts=services, headers=GATEWAY, retry=ONCE) as fal:
        yield fal


async def test_a_configured_service_gets_the_headers_of_session_and_view(emulator: Emulator) -> None:
    async with behind_a_gateway(emulator) as fal:
        view = fal.with_options(headers={"X-More": "1"})
        await view.subscribe(LLM, ASK, poll_interval=0.01)
        await view.storage.upload(b"abc", file_name="a.txt")
        await view.storage.upload(b"abc" * 9, file_name="a.txt", multipart_above=10, part_size=10)
    assert all(emulator.count(operation) for operation in ("submit", "result", "cdn_token", "upload", "part"))
    for request in emulator.requests:
        assert request.headers["X-Gateway-Secret"] == "s3cr3t", request.path
        assert (request.headers["User-Agent"], request.headers["X-More"]) == ("my-app", "1")


async def test_a_foreign_file_host_gets_no_header_of_the_session(emulator: Emulator, tmp_path: Path) -> None:
    async with stranger() as host, behind_a_gateway(emulator) as fal:
        await fal.storage.download(f"{host.url}/x.png", tmp_path / "x.png")
        assert host.was_sent() == set()
        assert host.seen[0].headers["User-Agent"] != "my-app"


async def test_a_redirect_out_of_a_service_loses_the_headers_of_the_session(
    emulator: Emulator, tmp_path: Path
) -> None:
    async with stranger() as host, stranger(leads_to=f"{host.url}/y.png") as cdn:
        async with behind_a_gateway(emulator, cdn=cdn.url) as fal:
            await fal.storage.download(f"{cdn.url}/x.png", tmp_path / "x.png")
        assert cdn.was_sent() == {"x-gateway-secret", "cookie"}
        assert host.was_sent() == set()


async def test_a_redirected_key_set_is_fetched_without_the_headers_of_the_session(emulator: Emulator) -> None:
    async with stranger() as host, stranger(leads_to=f"{host.url}/keys") as rest:
        async with behind_a_gateway(emulator, rest=rest.url) as fal:
            assert await fal.webhooks.fetch_keys() == b"picture"
        assert host.was_sent() == set()


@pytest.mark.parametrize("options", [{}, {"multipart_above": 3, "part_size": 3}], ids=["whole", "parts"])
async def test_a_presigned_upload_is_sent_no_header_of_the_session(options: dict[str, Any]) -> None:
    async with stranger() as bucket:

        async def rest(request: web.BaseRequest) -> web.StreamResponse:
            if "initiate" not in request.path:
                return web.json_response({"detail": "no such token"}, status=404)
            return web.json_response(
                {"file_url": f"{bucket.url}/a.txt", "upload_url": f"{bucket.url}/up?sig=1"}
            )

        async with listening(rest) as url:
            hosts = Hosts.local(url)
            async with Session("kid:key", hosts=hosts, headers=GATEWAY, retry=ONCE) as fal:
                assert (
                    await fal.storage.upload(b"abcdef", file_name="a.txt", **options) == f"{bucket.url}/a.txt"
                )
        assert bucket.was_sent() == set()


async def test_the_proxy_that_holds_the_key_gets_the_headers_of_the_session(emulator: Emulator) -> None:
    async with stranger() as proxy, Session(proxy_url=proxy.url, headers=GATEWAY) as fal:
        await fal.run(LLM, ASK)
        assert proxy.was_sent() == {"x-gateway-secret", "cookie"}


async def test_hosts_beside_the_proxy_get_no_headers_of_the_session(
    emulator: Emulator, tmp_path: Path
) -> None:
    async with stranger() as proxy, stranger() as cdn:
        hosts = attrs.evolve(emulator.hosts, cdn=cdn.url)
        async with Session(proxy_url=proxy.url, hosts=hosts, headers=GATEWAY, retry=ONCE) as fal:
            await fal.storage.download(f"{cdn.url}/x.png", tmp_path / "x.png")
            await fal.storage.download(f"{proxy.url}/x.png", tmp_path / "y.png")
        assert cdn.was_sent() == set()
        assert proxy.was_sent() == {"x-gateway-secret", "cookie"}
