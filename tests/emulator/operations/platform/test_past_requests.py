"""The request history of the platform API (protocol 11.1, 11.10)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from fal_async.emulator import RequestHistory
from tests.emulator.caller import Caller
from tests.emulator.gate import Gate
from tests.emulator.operations.platform.platform_caller import Platform

LLM = "fal-ai/any-llm"
BY_ENDPOINT = "models/requests/by-endpoint"


async def requests_of(caller: Caller, **query: Any) -> list[dict[str, Any]]:
    return await Platform(caller).listed(BY_ENDPOINT, "items", **{"endpoint_id": LLM, **query})


async def test_the_history_lists_past_requests_newest_first_and_filters_them(caller: Caller) -> None:
    run = await caller.run(LLM, {"prompt": "direct"})
    submitted = await caller.submit(LLM, {"prompt": "queued"})
    await caller.reached(submitted, "COMPLETED")
    await caller.run(LLM, {})
    failed, queued, direct = await requests_of(caller, expand="payloads,other")
    assert [one["status_code"] for one in (failed, queued, direct)] == [422, 200, 200]
    assert direct["request_id"] == run.headers["x-fal-request-id"]
    assert (queued["request_id"], queued["endpoint_id"]) == (submitted.data["request_id"], LLM)
    assert queued["json_input"] == {"prompt": "queued"}
    assert queued["json_output"] == (await caller.result(submitted)).data
    assert queued["duration"] > 0
    moments = [datetime.fromisoformat(queued[name]) for name in ("sent_at", "started_at", "ended_at")]
    assert moments == sorted(moments)
    assert [one["request_id"] for one in await requests_of(caller, status="user_error")] == [
        failed["request_id"]
    ]
    assert [one["request_id"] for one in await requests_of(caller, request_id=queued["request_id"])] == [
        queued["request_id"]
    ]
    assert "json_input" not in (await requests_of(caller))[0]


async def test_the_history_lists_a_running_request_without_end_and_output(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate")(Gate())
    await caller.submit("me/gate")
    [item] = await requests_of(caller, endpoint_id="me/gate", expand="payloads")
    assert "ended_at" not in item
    assert item["json_output"] is None
    assert await requests_of(caller, endpoint_id="me/gate", status="success") == []


async def test_a_request_with_store_io_0_has_no_input_and_output_in_the_history(caller: Caller) -> None:
    await caller.run(LLM, {"prompt": "x"}, headers=caller.with_headers(X_Fal_Store_IO="0"))
    [item] = await requests_of(caller, expand="payloads")
    assert not {"json_input", "json_output"} & set(item)


async def test_the_end_of_a_time_range_is_exclusive_and_its_default_start_is_a_day_ago(
    caller: Caller,
) -> None:
    await caller.run(LLM, {"prompt": "x"})
    [job] = caller.emulator.jobs.values()
    sent = datetime.fromtimestamp(job.submitted_at, UTC)
    second = timedelta(seconds=1)
    assert len(await requests_of(caller, start=sent.isoformat(), end=(sent + second).isoformat())) == 1
    assert await requests_of(caller, start=(sent - second).isoformat(), end=sent.isoformat()) == []
    # The default range is the last day, or 90 days for one request id.
    job.submitted_at -= 2 * 86_400
    assert await requests_of(caller) == []
    assert len(await requests_of(caller, request_id=job.request_id)) == 1


async def test_a_lagging_history_lists_a_request_late_and_its_end_later_still(caller: Caller) -> None:
    history = caller.emulator.history
    await caller.run(LLM, {"prompt": "x"})
    [job] = caller.emulator.jobs.values()
    history.lag = 60.0
    assert await requests_of(caller) == []
    job.submitted_at -= 60
    [item] = await requests_of(caller, expand="payloads")
    assert "ended_at" not in item
    assert item["json_input"] == {"prompt": "x"}
    assert item["json_output"] is None
    history.lag = 0.0
    [item] = await requests_of(caller)
    assert item["status_code"] == 200


async def test_a_history_with_only_ended_lists_no_running_request(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate")(gate)
    caller.emulator.history.only_ended = True
    submitted = await caller.submit("me/gate")
    assert await requests_of(caller, endpoint_id="me/gate") == []
    gate.open()
    await caller.reached(submitted, "COMPLETED")
    assert len(await requests_of(caller, endpoint_id="me/gate")) == 1


async def test_a_history_without_payloads_shows_no_input_and_output(caller: Caller) -> None:
    caller.emulator.history.payloads = False
    await caller.run(LLM, {"prompt": "x"})
    [item] = await requests_of(caller, expand="payloads")
    assert not {"json_input", "json_output"} & set(item)


async def test_a_key_that_may_not_read_requests_gets_the_platforms_403(caller: Caller) -> None:
    caller.emulator.history.permitted = False
    refused = await Platform(caller).get(BY_ENDPOINT, endpoint_id=LLM)
    assert (refused.status, refused.data["error"]["type"]) == (403, "authorization_error")
    assert (await Platform(caller).get("models")).status == 200


async def test_a_history_that_filters_by_ended_at_leaves_running_requests_out(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate")(Gate())
    caller.emulator.history.filters_by = "ended_at"
    await caller.submit("me/gate")
    await caller.run(LLM, {"prompt": "x"})
    [_, job] = caller.emulator.jobs.values()
    job.submitted_at -= 600
    minute_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    assert len(await requests_of(caller, start=minute_ago)) == 1
    assert await requests_of(caller, end=minute_ago) == []
    assert await requests_of(caller, endpoint_id="me/gate") == []


async def test_a_platform_clock_ahead_shifts_the_history_and_the_date_header(caller: Caller) -> None:
    caller.emulator.history.clock_ahead = 3_600.0
    await caller.run(LLM, {"prompt": "x"})
    now = datetime.now(UTC)
    reply = await Platform(caller).get(
        BY_ENDPOINT,
        endpoint_id=LLM,
        start=(now + timedelta(minutes=50)).isoformat(),
    )
    [item] = reply.data["items"]
    assert datetime.fromisoformat(item["sent_at"]) > now + timedelta(minutes=50)
    assert parsedate_to_datetime(reply.headers["Date"]) > now + timedelta(minutes=50)


@pytest.mark.parametrize(
    "options",
    [{"lag": -1.0}, {"lag": float("nan")}, {"filters_by": "started_at"}],
    ids=["negative lag", "nan lag", "filters_by"],
)
def test_request_history_refuses_bad_values_when_made_and_when_set(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RequestHistory(**options)
    with pytest.raises(ValueError, match=next(iter(options))):
        setattr(RequestHistory(), *next(iter(options.items())))


async def test_the_history_is_read_completely_page_by_page(caller: Caller) -> None:
    for number in range(5):
        await caller.run(LLM, {"prompt": str(number)})
    seen, cursor = [], "MQ=="
    while cursor is not None:
        page = await Platform(caller).get(
            BY_ENDPOINT, endpoint_id=LLM, limit=2, cursor=cursor, expand="payloads"
        )
        seen += [item["json_input"]["prompt"] for item in page.data["items"]]
        assert page.data["has_more"] == (page.data["next_cursor"] is not None)
        cursor = page.data["next_cursor"]
    assert seen == ["4", "3", "2", "1", "0"]
    by_duration = await requests_of(caller, sort_by="duration")
    assert [one["duration"] for one in by_duration] == sorted(
        (one["duration"] for one in by_duration), reverse=True
    )


@pytest.mark.parametrize(
    "query",
    [
        {"endpoint_id": ""},
        {"status": "lost"},
        {"limit": "0"},
        {"limit": "1000"},
        {"cursor": "next"},
        {"start": "yesterday"},
    ],
    ids=str,
)
async def test_a_wrong_history_query_gets_400_with_the_platforms_error_body(
    caller: Caller, query: dict[str, str]
) -> None:
    refused = await Platform(caller).get(BY_ENDPOINT, **{"endpoint_id": LLM, **query})
    assert refused.status == 400
    assert refused.data["error"]["type"] == "validation_error"
    assert refused.data["error"]["message"]
