"""A custom transport: all of `subscribe` works without a socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fal_async import (
    ConfigurationError,
    NotFoundError,
    RetryPolicy,
    Session,
    SessionStateError,
    ValidationError,
)
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.transport import Transport

ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
ANSWERS: dict[str, Any] = {
    "submit": {"request_id": ID},
    "status": {"status": "COMPLETED"},
    "result": {"images": []},
    "run": {"output": "hello"},
    "cancel": {"status": "CANCELLATION_REQUESTED"},
}


class Canned(Transport):
    """Answers each operation from a table."""

    def __init__(self, answers: dict[str, Any] = ANSWERS) -> None:
        self.answers, self.requests = answers, list[HttpRequest]()
        self.options: list[dict[str, Any]] = []

    async def send(self, request: HttpRequest, **options: Any) -> HttpResponse:
        self.requests.append(request)
        self.options.append(options)
        status, body = 200, self.answers[request.operation]
        if isinstance(body, int):
            status, body = body, {"detail": "no"}
        response = HttpResponse(status=status, headers={}, body=json.dumps(body).encode())
        if status >= 400:
            raise error_of(request, response)
        return response


async def test_a_custom_transport_serves_subscribe_and_run() -> None:
    transport = Canned()
    async with Session(transport=transport) as fal:
        result = await fal.subscribe("fal-ai/flux/dev", {"prompt": "a cat"})
        assert (result.request_id, result.data) == (ID, {"images": []})
        assert (await fal.run("fal-ai/any-llm", {"prompt": "x"})).data == {"output": "hello"}
        handle = await fal.with_options(tags={"a": "b"}).queue.submit("fal-ai/flux/dev", {"prompt": "a cat"})
        assert await handle.cancel()
    assert [request.operation for request in transport.requests] == [
        *("submit", "status", "result", "run", "submit", "cancel")
    ]
    assert transport.requests[0].body == b'{"prompt":"a cat"}'


@pytest.mark.parametrize(("status", "kind"), [(404, NotFoundError), (422, ValidationError)])
async def test_errors_of_a_custom_transport_reach_the_caller(status: int, kind: type[Exception]) -> None:
    async with Session(transport=Canned({**ANSWERS, "submit": status})) as fal:
        with pytest.raises(kind):
            await fal.subscribe("fal-ai/flux/dev", {})


async def test_a_method_that_a_custom_transport_lacks_is_named() -> None:
    async with Session(transport=Canned()) as fal:
        with pytest.raises(ConfigurationError, match=r"Canned has no open\(\)"):
            await fal.stream("fal-ai/any-llm", {"prompt": "x"}).last()


async def test_a_closed_session_does_not_call_its_custom_transport() -> None:
    transport = Canned()
    session = Session(transport=transport)
    await session.run("fal-ai/any-llm", {})
    await session.aclose()
    await session.aclose()
    assert session.closed
    for call in (session.run("fal-ai/any-llm", {}), session.subscribe("fal-ai/any-llm", {}), session.open()):
        with pytest.raises(SessionStateError, match="closed"):
            await call
    assert len(transport.requests) == 1


async def test_a_custom_transport_gets_the_key_headers_and_limits_of_each_view() -> None:
    transport = Canned()
    retry, other = RetryPolicy(max_attempts=2), RetryPolicy(max_attempts=3)
    async with Session("a:b", transport=transport, headers={"X-A": "1"}, timeout=7, retry=retry) as fal:
        await fal.run("fal-ai/any-llm", {})
        await fal.with_options(credentials="c:d", headers={"X-B": "2"}, timeout=8, retry=other).run(
            "fal-ai/any-llm", {}
        )
    first, second = transport.requests
    assert (first.headers["Authorization"], first.headers["X-A"]) == ("Key a:b", "1")
    assert (second.headers["Authorization"], second.headers["X-B"]) == ("Key c:d", "2")
    assert [options["timeouts"].total for options in transport.options] == [7, 8]
    assert [options["retry"] for options in transport.options] == [retry, other]


async def test_a_custom_transport_without_a_key_does_not_use_the_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "auth0_token").write_text("refresh-1")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    transport = Canned()
    async with Session(transport=transport) as fal:
        await fal.run("fal-ai/any-llm", {})
    assert ["Authorization" in request.headers for request in transport.requests] == [False]


async def test_proxy_url_addresses_the_requests_of_a_custom_transport() -> None:
    transport = Canned()
    async with Session(transport=transport, proxy_url="https://shop.example/fal") as fal:
        await fal.run("fal-ai/any-llm", {})
    (request,) = transport.requests
    assert request.url == "https://shop.example/fal"
    assert request.headers["x-fal-target-url"] == "https://fal.run/fal-ai/any-llm"


async def test_a_submit_cancelled_on_its_way_is_awaited_and_cancelled_at_fal() -> None:
    class Slow(Canned):
        async def send(self, request: HttpRequest, **options: Any) -> HttpResponse:
            if request.operation == "submit":
                arrived.set()
                await release.wait()
            return await super().send(request, **options)

    arrived, release, transport = asyncio.Event(), asyncio.Event(), Slow()
    async with Session(transport=transport) as fal:
        task = asyncio.create_task(fal.subscribe("fal-ai/flux/dev", {}))
        await arrived.wait()
        task.cancel()
        await asyncio.sleep(0)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [request.operation for request in transport.requests] == ["submit", "cancel"]


async def test_streaming_over_a_custom_transport_without_open_raises_at_once() -> None:
    async with Session(transport=Canned({**ANSWERS, "status": {"status": "IN_QUEUE"}})) as fal:
        with pytest.raises(ConfigurationError, match=r"no open\(\)"):
            await fal.subscribe("fal-ai/flux/dev", {}, mode="streaming")
