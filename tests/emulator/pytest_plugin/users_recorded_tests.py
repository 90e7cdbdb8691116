"""Tests of a user with recordings. `test_cassette_marker.py` runs them; another emulator stands in for fal."""

import asyncio
import contextlib
import os
from typing import Any

import pytest

import fal_async
from fal_async import FalError, Session

pytestmark = pytest.mark.fal_cassette(upstream=os.environ["UPSTREAM"])


@pytest.mark.fal_network_guard
@pytest.mark.parametrize("prompt", ["a cat", "a/b?", "ab"])
def test_picture(fal: Session, prompt: str) -> None:
    result = asyncio.run(fal.subscribe("fal-ai/flux/schnell", {"prompt": prompt}))
    assert result.data["images"]


class TestText:
    def test_words(self, fal_env: Any) -> None:
        asked = {"prompt": os.environ["PROMPT"]}
        assert asyncio.run(fal_async.run("fal-ai/any-llm", asked)).data["output"]

    @pytest.mark.fal_emulator(clock="auto")
    def test_error_is_caught(self, fal: Session) -> None:
        with contextlib.suppress(FalError):
            asyncio.run(fal.run("fal-ai/any-llm", {"prompt": os.environ["PROMPT"], "model": "m"}))


@pytest.mark.fal_cassette("shared", missing="emulate", speed=2)
def test_folder_with_a_name(fal: Session) -> None:
    asyncio.run(fal.run("fal-ai/any-llm", {"prompt": "other"}))


def test_request_is_left_running(fal: Session) -> None:
    asyncio.run(
        fal.submit("fal-ai/flux-lora-fast-training", {"images_data_url": "https://example.com/a.zip"})
    )
