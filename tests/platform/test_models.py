"""`fal.platform`: models, with and without a key, page by page."""

from __future__ import annotations

import pytest

from fal_async import ANONYMOUS, ConfigurationError, NotFoundError, RateLimitError, RetryPolicy, Session
from fal_async.emulator import Emulator, Fault


async def test_models_are_listed_page_by_page_without_gaps_or_repeats(
    fal: Session, emulator: Emulator
) -> None:
    listed = [model.endpoint_id async for model in fal.platform.models(limit=2)]
    assert len(listed) == len(set(listed)) > 2
    assert listed == [model.endpoint_id for model in await fal.platform.models()]


async def test_a_loop_that_is_left_early_fetches_no_further_page(fal: Session, emulator: Emulator) -> None:
    async for _ in fal.platform.models(limit=1):
        break
    assert emulator.count("platform") == 1


async def test_pages_continue_from_a_stored_cursor(fal: Session) -> None:
    first = await anext(fal.platform.models(limit=2).pages())
    rest = [page async for page in fal.platform.models(limit=2).pages(first.next_cursor)]
    whole = await fal.platform.models()
    assert [*first.items, *(model for page in rest for model in page.items)] == whole


async def test_a_model_is_found_by_its_id_or_reported_as_missing(fal: Session) -> None:
    assert (await fal.platform.model("fal-ai/flux/dev")).status == "active"
    with pytest.raises(NotFoundError):
        await fal.platform.model("fal-ai/does-not-exist")


@pytest.mark.parametrize("credentials", [ANONYMOUS, None])
async def test_models_and_meta_need_no_key(credentials: None, emulator: Emulator) -> None:
    async with Session(credentials, hosts=emulator.hosts) as fal:
        assert await fal.platform.models()
        assert (await fal.platform.meta()).webhook_ip_ranges


async def test_prices_need_a_key_and_nothing_is_sent_without_one(emulator: Emulator) -> None:
    async with Session(ANONYMOUS, hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="only models, model and meta work without a key"):
            fal.platform.pricing("fal-ai/flux/dev")
    assert emulator.count("platform") == 0


async def test_a_session_with_a_proxy_says_that_it_can_not_use_the_platform_api(emulator: Emulator) -> None:
    async with Session(proxy_url=emulator.url) as fal:
        for call in (fal.platform.models, lambda: fal.platform.pricing("a/b")):
            with pytest.raises(ConfigurationError, match="can't be used through proxy_url"):
                call()
    assert emulator.requests == []


async def test_a_rate_limit_is_obeyed_and_the_page_asked_for_again(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(429, on="platform", retry_after="0"))
    assert await fal.platform.models(category="training")
    assert emulator.count("platform") == 2


async def test_a_lasting_rate_limit_is_raised(emulator: Emulator) -> None:
    async with Session(emulator.key, hosts=emulator.hosts, retry=RetryPolicy(max_attempts=1)) as fal:
        emulator.faults.add(Fault.answer(429, on="platform", times=None))
        with pytest.raises(RateLimitError):
            await fal.platform.models()
