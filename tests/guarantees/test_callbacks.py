"""A callback that takes the wrong number of arguments is refused before anything is sent, wherever it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fal_async import ConfigurationError, RetryPolicy, Session
from fal_async.emulator import Emulator
from tests.quick import ASK, LLM

PLACES: dict[str, Callable[[Session, Any], Any]] = {
    "on_enqueue": lambda fal, wrong: fal.subscribe(LLM, ASK, on_enqueue=wrong),
    "on_queue_update": lambda fal, wrong: fal.subscribe(LLM, ASK, on_queue_update=wrong),
    "on_queue_update of wait": lambda fal, wrong: fal.queue.handle(LLM, "some-id").wait(
        on_queue_update=wrong
    ),
    "on_retry": lambda _, wrong: RetryPolicy(on_retry=wrong),
    "on_progress of upload": lambda fal, wrong: fal.storage.upload(b"abc", on_progress=wrong),
    "on_progress of download": lambda fal, wrong: fal.storage.download(
        "https://example.com/file", Path("file"), on_progress=wrong
    ),
    "on_event": lambda fal, wrong: fal.webhooks.attach("http://127.0.0.1/", on_event=wrong),
    "on_reconnect": lambda fal, wrong: fal.realtime.connect("me/app", on_reconnect=wrong),
    "on_timings": lambda fal, wrong: fal.realtime.connect("me/app", on_timings=wrong),
    "token_provider": lambda fal, wrong: fal.realtime.connect("me/app", token_provider=wrong),
    "encode": lambda fal, wrong: fal.realtime.connect("me/app", encode=wrong),
    "decode": lambda fal, wrong: fal.realtime.connect("me/app", decode=wrong),
}


def takes_nothing() -> None: ...
async def takes_nothing_later() -> None: ...
def takes_three(one: object, two: object, three: object) -> None: ...


@pytest.mark.parametrize("wrong", [takes_nothing, takes_nothing_later, takes_three])
@pytest.mark.parametrize("place", PLACES)
async def test_a_callback_with_wrong_parameters_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, place: str, wrong: object
) -> None:
    async def call() -> None:
        given = PLACES[place](fal, wrong)
        if isinstance(given, Awaitable):
            await given

    name = place.partition(" ")[0]
    with pytest.raises(ConfigurationError, match=rf"^{name} is called with \(\w+(, total)?\), which takes_"):
        await call()
    assert emulator.count() == 0


def test_a_credentials_function_that_takes_arguments_is_refused_by_the_session() -> None:
    wrong: Any = takes_three
    with pytest.raises(
        ConfigurationError, match=r"^credentials is called with \(\), which takes_three does not"
    ):
        Session(wrong)
