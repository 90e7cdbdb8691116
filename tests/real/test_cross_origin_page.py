"""fal's JavaScript client in headless Chromium, on a page of another origin: CORS, tokens, WebSockets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from fal_async.emulator import Emulator
from tests.emulator.certificates import server_side
from tests.real.chromium import chromium
from tests.real.conftest import node_with, output_of
from tests.servers.serving import serving

PAGE = '<!doctype html><meta charset="utf-8"><title>page</title><script src="/page.js"></script>'
NAMES = ("fal.run", "*.fal.run", "*.fal.ai", "*.fal.media")


@pytest.fixture
async def bundle(workshop: Path, tmp_path: Path) -> Path:
    folder, built = node_with(workshop), tmp_path / "page.js"
    esbuild = folder / "node_modules" / ".bin" / "esbuild"
    await output_of(esbuild, folder / "scripts" / "page.mjs", "--bundle", f"--outfile={built}", env={})
    return built


async def test_the_javascript_client_works_in_a_page_of_another_origin(bundle: Path, tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium")

    async def page(_: Request) -> Response:
        return HTMLResponse(PAGE)

    async def script(_: Request) -> Response:
        return FileResponse(bundle)

    app = Starlette(routes=[Route("/", page), Route("/page.js", script)])
    async with Emulator(speed=50, ssl=server_side()) as emulator, serving(app) as server:
        port = emulator.url.rpartition(":")[2]
        names = ", ".join(f"MAP {name} 127.0.0.1:{port}" for name in NAMES)
        flags = (f"--host-resolver-rules={names}", "--ignore-certificate-errors")
        async with chromium(tmp_path / "profile", *flags) as browser:
            await browser.open(f"{server.url}/?key={emulator.key}")
            found, origin = await browser.ask("window.started"), server.url
    assert found.pop("updates")[-1] == "COMPLETED"
    assert found == {
        "image": [512, 512],
        "fetched": "image/png",
        "requestId": 36,
        "text": True,
        "uploaded": "hello",
        "frames": [64, 128],
        "refused": 422,
    }
    assert {request.headers.get("Origin") for request in emulator.requests} >= {origin}
