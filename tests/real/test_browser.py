"""A page in headless Chromium shows the position, the logs and the picture that `sse_response` relays."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from fal_async import Session
from fal_async.emulator import Emulator
from fal_async.integrations.starlette import fal_lifespan, get_session, sse_response
from tests.real.chromium import chromium
from tests.servers.serving import serving

PAGE = Path(__file__).parent / "scripts" / "page.html"
SCREENSHOTS = os.environ.get("FAL_ASYNC_SCREENSHOTS")
"""A folder in which to keep the screenshots, for people."""
MODEL = "fal-ai/flux/dev"
INPUT = {"prompt": "a cat", "image_size": "landscape_4_3", "seed": 6252023}


async def page(_: Request) -> Response:
    return FileResponse(PAGE)


async def events(request: Request) -> Response:
    queue = get_session(request).queue
    return await sse_response(
        request,
        lambda: queue.submit(MODEL, INPUT),
        resume=lambda request_id: queue.handle(MODEL, request_id),
        cancel_on_disconnect=False,
    )


async def test_a_page_in_chromium_shows_position_logs_and_picture(tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium")
    kept = Path(SCREENSHOTS or tmp_path)
    async with Emulator(speed=1, runners=1) as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        app = Starlette(
            routes=[Route("/", page), Route("/events", events)],
            lifespan=fal_lifespan(lambda: Session(emulator.key, hosts=emulator.hosts)),
        )
        async with serving(app) as server, chromium(tmp_path / "profile") as browser:
            ahead = [await fal.queue.submit(MODEL, INPUT) for _ in range(2)]
            await browser.open(server.url)
            await browser.until("document.getElementById('where').textContent.includes('ahead')")
            await browser.screenshot(kept / "1-in-the-queue.png")
            await browser.until("document.getElementById('logs').textContent.split('\\n').length > 10")
            await browser.screenshot(kept / "2-in-progress.png")
            await browser.until("document.title !== 'waiting'")
            await browser.screenshot(kept / "3-done.png")
            assert await browser.ask("document.title") == "done"
            assert "Positions seen: 1, 0" in await browser.ask("document.body.innerText")
            assert await browser.ask("document.querySelector('img').naturalWidth") == 1024
            last = await browser.ask("document.getElementById('logs').textContent.split('\\n').at(-1)")
            assert "28/28" in last
        await asyncio.gather(*(handle.wait() for handle in ahead))
    assert emulator.count("submit") == 3
