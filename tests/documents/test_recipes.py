"""The recipes that need more than an emulator: pytest, other clients, a company proxy, a notebook, a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Emulator
from tests.documents.code_blocks import Block, blocks_of, environment, javascript_of
from tests.emulator.certificates import authority, server_side
from tests.servers.connect_proxy import connect_proxy
from tests.servers.loopback import port_of
from tests.servers.serving import serving
from tests.servers.tunnel import tunnel

RECIPES = "fal_async/RECIPES.md"
BLOCKS = blocks_of(RECIPES, "pytest", "outside", "proxied", "notebook", "app")


async def output_of(*command: str | Path, cwd: Path, **variables: str) -> tuple[str, str]:
    """Standard output and error of a program that ends well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment(**variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 50)
    assert process.returncode == 0, out.decode() + err.decode()
    return out.decode(), err.decode()


def written(block: Block, folder: Path, name: str = "block.py") -> Path:
    path = folder / name
    path.write_text(block.program)
    return path


async def test_the_tests_of_a_fastapi_app_pass_under_pytest(tmp_path: Path) -> None:
    written(BLOCKS["pytest"], tmp_path, "test_app.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    # Named, and without what is installed: so it is this tree's plugin, installed or not.
    plugins = ("-p", "fal_async.emulator.pytest_plugin")
    out, _ = await output_of(
        *(sys.executable, "-m", "pytest", *plugins, "-q"), cwd=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )
    assert "2 passed" in out


async def test_fal_client_uploads_and_subscribes_on_the_emulator(emulator: Emulator, tmp_path: Path) -> None:
    script, some_authority = written(BLOCKS["outside"], tmp_path), tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(str(some_authority))  # httpx reads one, though nothing here speaks TLS
    out, _ = await output_of(
        *(sys.executable, script),
        cwd=tmp_path,
        FAL_BASE_URL=emulator.url,
        FAL_KEY=emulator.key,
        SSL_CERT_FILE=str(some_authority),
    )
    assert out.startswith(f"{emulator.url}/v3.fal.media/")
    assert (emulator.count("submit"), len(emulator.uploads)) == (1, 1)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_the_javascript_of_the_recipe_is_parsed_by_node(tmp_path: Path) -> None:
    """What it does is tested in `tests/real/test_official_clients.py`, with the package from npm."""
    (tmp_path / "block.mjs").write_text(javascript_of(RECIPES))
    await output_of("node", "--check", "block.mjs", cwd=tmp_path)


@contextlib.asynccontextmanager
async def company_network(folder: Path) -> AsyncIterator[tuple[Emulator, str]]:
    """An emulator that is all of fal's hosts, with certificates of a private CA, and the proxy that leads to it."""
    authority().cert_pem.write_to_path(str(folder / "company-ca.pem"))
    async with (
        Emulator(speed=50, ssl=server_side()) as emulator,
        connect_proxy(port_of(emulator.url)) as proxy,
    ):
        yield emulator, proxy.url
    hosts = {line.split()[1] for line in proxy.asked}
    assert hosts == {"queue.fal.run:443", "v3.fal.media:443"}


async def test_a_program_reaches_fal_through_a_proxy_and_a_private_ca(tmp_path: Path) -> None:
    placeholder, code = "http://me:secret@proxy.example:3128", BLOCKS["proxied"].code
    assert placeholder in code
    async with company_network(tmp_path) as (emulator, proxy_url):
        (tmp_path / "block.py").write_text(code.replace(placeholder, proxy_url))
        await output_of(sys.executable, "-W", "error", "block.py", cwd=tmp_path, FAL_KEY=emulator.key)
    assert len(list((tmp_path / "pictures").iterdir())) == 1


UNCHANGED = """
import asyncio

from fal_async import Session


async def main() -> None:
    async with Session() as fal:
        result = await fal.subscribe("fal-ai/flux/schnell", {"prompt": "a cat"})
        await result.download("pictures")


asyncio.run(main())
"""


async def test_a_program_follows_the_variables_of_a_proxy_and_a_private_ca(tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(UNCHANGED)
    async with company_network(tmp_path) as (emulator, proxy_url):
        await output_of(
            *(sys.executable, "-W", "error", "block.py"),
            cwd=tmp_path,
            FAL_KEY=emulator.key,
            HTTPS_PROXY=proxy_url,
            SSL_CERT_FILE=str(tmp_path / "company-ca.pem"),
        )
    assert len(list((tmp_path / "pictures").iterdir())) == 1


NOTEBOOK = """
import ast, asyncio, inspect, sys

CELLS = open(sys.argv[1]).read().split("# %%\\n")


async def main() -> None:
    names = {}
    for cell in CELLS:  # as IPython runs them: all on one loop, which runs between them, too
        made = eval(compile(cell, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.iscoroutine(made):
            await made
        await asyncio.sleep(0.01)


asyncio.run(main())
"""


async def test_the_cells_of_a_notebook_run_on_one_loop_and_pay_for_each_picture_once(
    emulator: Emulator, tmp_path: Path
) -> None:
    code = BLOCKS["notebook"].code
    cells = code.split("# %%\n")
    assert len(cells) == 5  # the first is empty
    (tmp_path / "cells.txt").write_text("# %%\n".join([*cells[:4], *cells[3:]]))  # the batch twice
    (tmp_path / "kernel.py").write_text(NOTEBOOK)
    _, err = await output_of(
        *(sys.executable, "-W", "error", "kernel.py", "cells.txt"),
        cwd=tmp_path,
        FAL_BASE_URL=emulator.url,
        FAL_KEY=emulator.key,
    )
    assert re.search("4 of 4 done", err)
    assert emulator.count("submit") == 5
    assert len(list((tmp_path / "pictures").iterdir())) == 5


async def test_webhooks_reach_an_app_through_a_tunnel_and_forged_ones_do_not(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tunnel() as (public_url, lead_to):
        for name, value in {
            "PUBLIC_URL": public_url,
            "FAL_BASE_URL": emulator.url,
            "FAL_KEY": emulator.key,
        }.items():
            monkeypatch.setenv(name, value)
        module: dict[str, Any] = {}
        exec(compile(BLOCKS["app"].program, "pictures.py", "exec"), module)
        async with serving(module["app"]) as server, aiohttp.ClientSession(server.url) as browser:
            lead_to(server.url)
            async with browser.post("/pictures", params={"prompt": "a cat"}) as answer:
                request_id = (await answer.json())["request_id"]
            (attempt,) = await emulator.webhooks.wait_for(1)
            assert (attempt.url, attempt.status) == (f"{public_url}/fal/webhook", 200)
            async with browser.get(f"/pictures/{request_id}") as answer:
                assert (await answer.json())["images"][0]["url"].startswith(emulator.url)
            forged = await emulator.webhooks.deliver(
                request_id, body=b'{"request_id": "other", "status": "OK"}'
            )
            assert forged.status == 401
