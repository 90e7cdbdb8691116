"""The applications of the chapter on web applications run under uvicorn, and answer a real HTTP client."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import fal_async
from fal_async import Session
from fal_async.emulator import Emulator
from tests.servers.serving import serving

CHAPTER = Path(fal_async.__file__).parent / "integrations" / "README.md"  # also of an installed package
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
_APP = re.compile(r"^(app|shop) = (\w+)\(", re.M)


def applications() -> dict[tuple[str, str], str]:
    """Return the blocks that define an `app` or a `shop`, by that name and its class."""
    made = {}
    for code in _BLOCK.findall(CHAPTER.read_text()):
        if found := _APP.search(code):
            made[found[1], found[2]] = code
    return made


@pytest.fixture
def environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", emulator.key)


def app_of(kind: str, name: str = "app") -> Any:
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(applications()[name, kind], f"{CHAPTER.name} {kind}", "exec", dont_inherit=True), namespace)
    return namespace[name]


@pytest.mark.usefixtures("environment")
async def test_the_fastapi_application_of_the_chapter_serves_its_routes(
    emulator: Emulator, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    app = app_of("FastAPI")
    async with serving(app) as server:
        async with http.post(f"{server.url}/pictures", json={"prompt": "a cat"}) as answer:
            url = (await answer.json())["images"][0]["url"]
        async with http.get(url) as picture:
            assert picture.content_type == "image/png"
        async with http.get(f"{server.url}/pictures/live", params={"prompt": "a cat"}) as events:
            text = await events.text()
        assert "event: update" in text
        assert json.loads(text.strip().rpartition("data: ")[2])["data"]["images"]
        async with http.post(f"{server.url}/pictures", json={"prompt": "x", "num_images": 9}) as refused:
            assert refused.status == 422
        fal: Session = app.state.fal
        handle = await fal.queue.submit("me/echo", {"a": 1}, webhook_url=f"{server.url}/fal/webhook")
        (attempt,) = await emulator.webhooks.wait_for(1)
        assert attempt.status == 200
    assert f"{handle.request_id} {{'a': 1}}" in capsys.readouterr().out
    assert fal.closed


@pytest.mark.usefixtures("environment")
async def test_the_shop_of_the_chapter_is_paid_once_for_one_key(
    emulator: Emulator, http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with serving(app_of("FastAPI", "shop")) as server:
        url, headers = f"{server.url}/orders", {"cookie": "session=anna", "Idempotency-Key": "order-42"}

        async def post(prompt: str, **less: None) -> tuple[int, Any]:
            named = {name: text for name, text in headers.items() if name not in less}
            async with http.post(url, params={"prompt": prompt}, headers=named) as answer:
                return answer.status, await answer.json()

        first = await post("a cat")
        assert first[0] == 200
        assert await post("a cat") == first
        assert (await post("a dog"))[0] == 422
        assert (await post("a cat", **{"Idempotency-Key": None}))[0] == 400
    assert emulator.books.total("fal-ai/flux/schnell") == 1


@pytest.mark.usefixtures("environment")
async def test_the_proxy_application_of_the_chapter_checks_its_callers(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    headers = {"x-fal-target-url": "https://fal.run/me/echo", "cookie": "session=anna"}
    async with serving(app_of("Starlette")) as server:
        url = f"{server.url}/api/fal/proxy"
        async with http.post(url, json={"a": 1}, headers=headers) as answer:
            assert await answer.json() == {"a": 1}
        async with http.post(url, json={"a": 1}, headers={**headers, "cookie": "session=eve"}) as answer:
            assert answer.status == 401
    assert emulator.count("run") == 1
