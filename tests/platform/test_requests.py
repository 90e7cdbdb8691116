"""`fal.platform`: past requests, on the emulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fal_async import NotFoundError, PermissionDeniedError, Session
from fal_async.emulator import Emulator, Fault

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


async def test_a_search_without_words_goes_through_all_endpoints_newest_first(fal: Session) -> None:
    first = await fal.subscribe(LLM, ASK)
    second = await fal.subscribe(FLUX, ASK)
    found = [record.request_id async for record in fal.platform.search_requests(limit=1)]
    assert found == [second.request_id, first.request_id]
    (only,) = await fal.platform.search_requests(endpoint_ids=LLM)
    assert only.request_id == first.request_id


async def test_a_search_by_words_gives_a_similarity(fal: Session) -> None:
    result = await fal.subscribe(LLM, ASK)
    found = await fal.platform.search_requests("a cat", min_similarity=0.0, only_api_requests=True)
    assert [record.request_id for record in found] == [result.request_id]
    assert found[0].similarity is not None


async def test_deleted_payloads_are_gone_and_each_file_is_reported(fal: Session, admin: Session) -> None:
    result = await fal.subscribe(FLUX, ASK)
    (file,) = result.files()
    deleted = await admin.platform.delete_payloads(result.request_id)
    assert [(each.url, each.error) for each in deleted] == [(file.url, None)]
    (record,) = await fal.platform.requests(FLUX, request_id=result.request_id, expand="payloads")
    assert (record.input, record.output) == (None, None)


async def test_a_deletion_whose_response_is_lost_is_repeated_under_the_same_key(
    fal: Session, admin: Session, emulator: Emulator
) -> None:
    result = await fal.subscribe(FLUX, ASK)
    emulator.faults.add(Fault.reset(on="platform", taken=True))
    emulator.clear_requests()
    assert len(await admin.platform.delete_payloads(result.request_id)) == 1
    keys = [request.headers["Idempotency-Key"] for request in emulator.requests]
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_payloads_of_an_unknown_request_are_not_found(admin: Session) -> None:
    with pytest.raises(NotFoundError):
        await admin.platform.delete_payloads("01234567-89ab-cdef-0123-456789abcdef")


async def test_payloads_are_deleted_only_with_an_admin_key(fal: Session) -> None:
    result = await fal.subscribe(LLM, ASK)
    with pytest.raises(PermissionDeniedError, match="needs an admin key"):
        await fal.platform.delete_payloads(result.request_id)
