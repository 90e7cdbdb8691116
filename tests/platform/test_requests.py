"""`fal.platform`: past requests, on the emulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fal_async import Session
from fal_async.emulator import Emulator

FLUX, LLM = "fal-ai/flux/dev", "fal-ai/any-llm"
ASK = {"prompt": "a cat"}


async def test_past_requests_of_an_endpoint_are_listed_page_by_page(fal: Session) -> None:
    ids = [(await fal.subscribe(LLM, {"prompt": f"{n}"})).request_id for n in range(3)]
    start = datetime.now(UTC) - timedelta(hours=1)
    listed = [record async for record in fal.platform.requests(LLM, start=start, limit=2)]
    assert sorted(record.request_id for record in listed) == sorted(ids)
    assert all(
        (record.endpoint_id, record.status_code, record.input) == (LLM, 200, None) for record in listed
    )
    assert all(record.sent_at is not None and record.sent_at >= start for record in listed)


async def test_a_past_request_is_found_by_its_id_with_its_input_and_output(fal: Session) -> None:
    result = await fal.subscribe(LLM, ASK)
    (record,) = await fal.platform.requests(LLM, request_id=result.request_id, expand="payloads")
    assert (record.input, record.output) == (ASK, result.data)
    assert record.ended_at is not None
    assert record.duration is not None


async def test_only_failed_requests_are_listed_if_asked(fal: Session, emulator: Emulator) -> None:
    await fal.subscribe(LLM, ASK)
    assert await fal.platform.requests([LLM, FLUX], status="error", sort_by="duration") == []
