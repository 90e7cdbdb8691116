"""A transport of a user's own: the whole of `subscribe` without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fal_async import ConfigurationError, NotFoundError, Session, SessionStateError, ValidationError
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
    """Answers each operation out of a table."""

    def __init__(self, answers: dict[str, Any] = ANSWERS) -> None:
        self.answers, self.requests = answers, list[HttpRequest]()

    async def send(self, request: HttpRequest, **_: Any) -> HttpResponse:
        self.requests.append(request)
        status, body = 200, self.answers[request.operation]
        if isinstance(body, int):
            status, body = body, {"detail": "no"}
        response = HttpResponse(status=status, headers={}, body=json.dumps(body).encode())
        if status >= 400:
            raise error_of(request, response)
        return response


async def test_it_drives_subscribe_and_run() -> None:
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
async def test_its_errors_reach_the_caller(status: int, kind: type[Exception]) -> None:
    async with Session(transport=Canned({**ANSWERS, "submit": status})) as fal:
        with pytest.raises(kind):
            await fal.subscribe("fal-ai/flux/dev", {})


async def test_a_method_that_it_lacks_is_named() -> None:
    async with Session(transport=Canned()) as fal:
        with pytest.raises(ConfigurationError, match=r"Canned has no open\(\)"):
            await fal.stream("fal-ai/any-llm", {"prompt": "x"}).last()


async def test_a_closed_session_sends_nothing_over_it() -> None:
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
