"""`fal.platform.keys`: a key is created once, its secret is shown once, and deleting it may be repeated."""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest

from fal_async import (
    AuthenticationError,
    PermissionDeniedError,
    ResponseDecodeError,
    ServerError,
    Session,
    SubmissionUncertainError,
)
from fal_async.emulator import Emulator, Fault
from fal_async.protocol.http import HttpRequest
from tests.quick import session_on


async def test_a_new_key_works_until_it_is_deleted(admin: Session, emulator: Emulator) -> None:
    created = await admin.platform.keys.create("ci")
    async with session_on(emulator, credentials=created.key) as fal:
        assert await fal.verify_credentials()
        (listed,) = [key for key in await admin.platform.keys.list() if key.alias == "ci"]
        assert (listed.key_id, listed.scope) == (created.key_id, "API")
        await admin.platform.keys.delete(created.key_id)
        assert not await fal.verify_credentials()
    await admin.platform.keys.delete(created.key_id)  # fal reports no error


async def test_keys_are_listed_page_by_page_with_their_creators(admin: Session) -> None:
    created = {(await admin.platform.keys.create(f"key-{n}")).key_id for n in range(3)}
    listed = [key async for key in admin.platform.keys.list(expand="creator_info", limit=1)]
    assert created <= {key.key_id for key in listed}
    assert len(listed) == len({key.key_id for key in listed})
    assert all(key.creator_nickname for key in listed)
    assert all(key.created_at is not None for key in listed)


async def test_keys_need_an_admin_key_and_the_error_says_so(fal: Session) -> None:
    for call in (fal.platform.keys.create("ci"), fal.platform.keys.list(), fal.platform.keys.delete("k")):
        with pytest.raises(PermissionDeniedError, match="this call needs an admin key"):
            await call


@pytest.mark.parametrize(
    "fault",
    [
        Fault.reset(on="platform", taken=True),
        Fault.close(on="platform", taken=True),
        Fault.html(504, on="platform", taken=True),
    ],
    ids=["reset", "close", "504"],
)
async def test_a_creation_whose_response_is_lost_is_not_sent_again(
    fault: Fault, admin: Session, emulator: Emulator
) -> None:
    emulator.faults.add(fault)
    with pytest.raises(SubmissionUncertainError, match=r"a key 'ci' may exist now.* keys\.list") as caught:
        await admin.platform.keys.create("ci")
    assert (caught.value.operation, emulator.count("platform")) == ("create", 1)
    assert not caught.value.retryable
    left = [key for key in await admin.platform.keys.list() if key.alias == "ci"]
    assert len(left) == 1


async def test_a_creation_that_fal_certainly_refused_is_sent_again(
    admin: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(429, on="platform", retry_after="0"))
    assert (await admin.platform.keys.create("ci")).key
    assert emulator.count("platform") == 2


async def test_an_error_of_fal_itself_is_raised_without_another_attempt(
    admin: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(500, on="platform"))
    with pytest.raises(ServerError):
        await admin.platform.keys.create("ci")
    assert emulator.count("platform") == 1


async def test_the_secret_of_a_new_key_is_in_no_log_and_no_error(
    admin: Session, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    created = await admin.platform.keys.create("ci")
    assert created.key_secret not in caplog.text
    assert pickle.loads(pickle.dumps(created)) == created
    emulator.faults.add(Fault.wrong_json(on="platform"))
    with pytest.raises(ResponseDecodeError, match="fal created a key") as caught:
        await admin.platform.keys.create("other")
    (other,) = [key.key_id for key in await admin.platform.keys.list() if key.alias == "other"]
    text = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value.__dict__)
    assert f"{other}:" not in text


async def test_a_deletion_whose_response_is_lost_is_repeated_under_the_same_key(
    admin: Session, emulator: Emulator
) -> None:
    created = await admin.platform.keys.create("ci")
    emulator.clear_requests()
    emulator.faults.add(Fault.reset(on="platform", taken=True))
    await admin.platform.keys.delete(created.key_id)
    keys = [request.headers["Idempotency-Key"] for request in emulator.requests]
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_deleted_key_is_refused_like_an_unknown_one(admin: Session, emulator: Emulator) -> None:
    created = await admin.platform.keys.create("ci")
    await admin.platform.keys.delete(created.key_id)
    async with session_on(emulator, credentials=created.key) as fal:
        with pytest.raises(AuthenticationError):
            await fal.platform.pricing("fal-ai/flux/dev")


def test_the_url_of_a_search_is_not_shown_with_its_query() -> None:
    from fal_async.config import Hosts
    from fal_async.protocol.platform.request_records import search_request

    request = search_request(Hosts(), [("image_url", "https://x/y?signature=hush")])
    assert isinstance(request, HttpRequest)
    assert "hush" not in repr(request)
