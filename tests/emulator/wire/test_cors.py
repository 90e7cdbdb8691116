"""CORS for pages in a browser that call fal's hosts: preflight requests, and what a page may read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.emulator.caller import Caller

PAGE = {"Origin": "http://127.0.0.1:3000"}
QUESTION = {
    **PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-a",
}
RUN = "/fal.run/me/echo"


@pytest.fixture
def caller(caller: Caller) -> Caller:
    @caller.emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    @caller.emulator.endpoint("me/words")
    async def words(_: Any) -> AsyncIterator[Any]:
        yield {"word": "one"}

    return caller


@pytest.mark.parametrize("path", [RUN, "/queue.fal.run/me/echo", "/v3.fal.media/presigned/x/y.png"])
async def test_a_preflight_request_is_answered_and_runs_nothing(caller: Caller, path: str) -> None:
    answer = await caller.call("OPTIONS", path, headers=QUESTION)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "POST"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-a"
    assert caller.emulator.count() == len(caller.emulator.jobs) == 0


async def test_a_page_may_read_every_answer_errors_and_streams_included(caller: Caller) -> None:
    page = {**PAGE, "Authorization": f"Key {caller.emulator.key}"}
    for path in (RUN, "/fal.run/me/words/stream", "/fal.run/me/nothing"):
        answer = await caller.call("POST", path, json={}, headers=page)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    refused = await caller.call("POST", RUN, json={}, headers=PAGE)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, "*")
    plain = await caller.run("me/echo", {})
    assert "Access-Control-Allow-Origin" not in plain.headers


async def test_the_admin_route_has_no_cors_headers_and_no_preflight(caller: Caller) -> None:
    for path in ("/_emulator", "//_emulator/jobs"):
        assert "Access-Control-Allow-Origin" not in (await caller.get(path, headers=PAGE)).headers
    assert (await caller.call("OPTIONS", "/_emulator/key", headers=QUESTION)).status == 404


@pytest.mark.parametrize(
    "path", [RUN, "/queue.fal.run/me/echo", "/rest.fal.ai/users/current", "/v3.fal.media/x"]
)
async def test_options_without_an_origin_are_answered_without_a_key_and_run_nothing(
    caller: Caller, path: str
) -> None:
    answer = await caller.call("OPTIONS", path, headers={})
    assert (answer.status, answer.body) == (204, b"")
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert caller.emulator.count() == len(caller.emulator.jobs) == 0


async def test_a_head_request_of_an_endpoint_runs_nothing(caller: Caller) -> None:
    assert (await caller.call("HEAD", RUN)).status == 405
    assert len(caller.emulator.jobs) == 0


@pytest.mark.parametrize(
    "path", [RUN, "/queue.fal.run/me/echo", "/fal.run/me/words/stream", "/me/nothing", "/", "/v3.fal.media/x"]
)
async def test_no_answer_names_the_servers_software_and_every_answer_has_a_date(
    caller: Caller, path: str
) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = await caller.call(method, path, json={})
        assert "Server" not in answer.headers
        assert answer.headers["Date"].endswith(" GMT")
