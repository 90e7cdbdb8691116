"""The README's applications, as they stand there, under uvicorn, asked by a real HTTP client."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async import Session
from fal_async.emulator import Emulator
from tests.servers.serving import serving

README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
_APP = re.compile(r"^app = (\w+)\(", re.M)


def applications() -> dict[str, str]:
    """The blocks that make an `app`, by its class."""
    made = {}
    for code in _BLOCK.findall(README.read_text()):
        if found := _APP.search(code):
            made[found[1]] = code
    return made


@pytest.fixture
def environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", emulator.key)


def app_of(name: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(applications()[name], f"README {name}", "exec"), namespace)
    return namespace["app"]


@pytest.mark.usefixtures("environment")
async def test_the_fastapi_application(
    emulator: Emulator, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    app = app_of("FastAPI")
    async with serving(app) as server:
        async with http.post(f"{server.url}/pictures", params={"prompt": "a cat"}) as answer:
            url = (await answer.json())["url"]
        async with http.get(url) as picture:
            assert picture.content_type == "image/png"
        async with http.get(f"{server.url}/pictures/live", params={"prompt": "a cat"}) as events:
            text = await events.text()
        assert "event: update" in text
        assert json.loads(text.strip().rpartition("data: ")[2])["data"]["images"]
        async with http.post(f"{server.url}/pictures") as refused:
            assert refused.status == 422
        fal: Session = app.state.fal
        handle = await fal.queue.submit("me/echo", {"a": 1}, webhook_url=f"{server.url}/fal/webhook")
        (attempt,) = await emulator.webhooks.wait_for(1)
        assert attempt.status == 200
    assert f"{handle.request_id} {{'a': 1}}" in capsys.readouterr().out
    assert fal.closed


@pytest.mark.usefixtures("environment")
async def test_the_proxy(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    headers = {"x-fal-target-url": "https://fal.run/me/echo", "cookie": "session=anna"}
    async with serving(app_of("Starlette")) as server:
        url = f"{server.url}/api/fal/proxy"
        async with http.post(url, json={"a": 1}, headers=headers) as answer:
            assert await answer.json() == {"a": 1}
        async with http.post(url, json={"a": 1}, headers={**headers, "cookie": "session=eve"}) as answer:
            assert answer.status == 401
    assert emulator.count("run") == 1
