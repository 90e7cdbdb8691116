"""MCP servers for fal from PyPI, each in a process that a client of `mcp` starts: `mcp_servers.py PROGRAM`."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from media import is_picture, is_sound, is_video, png

Tool = Callable[..., Awaitable[str]]


def file_of(answer: str) -> bytes:
    found = re.search(r"https://[^\s\"')*]+", answer)
    assert found, answer
    return httpx.get(found[0]).raise_for_status().content


async def fal_mcp_server(call: Tool, folder: Path) -> None:
    assert "fal-ai/flux/schnell" in await call("list_models", category="image", limit=100)
    assert "$0.003" in await call("get_pricing", models=["flux_schnell"])
    assert "`fal-ai/flux" in await call("recommend_model", task="flux")
    is_picture(file_of(await call("generate_image", prompt="a cat", model="flux_schnell")))
    is_video(file_of(await call("generate_video", prompt="waves", model="fal-ai/wan-t2v")))
    is_sound(file_of(await call("generate_music", prompt="waves")))
    red = folder / "red.png"
    red.write_bytes(png())
    uploaded = await call("upload_file", file_path=str(red))
    assert file_of(uploaded) == png()
    [url] = re.findall(r"https://\S+", uploaded)
    is_picture(file_of(await call("remove_background", image_url=url)))
    is_picture(file_of(await call("upscale_image", image_url=url)))
    is_picture(file_of(await call("edit_image", image_url=url, instruction="make it blue")))
    assert "permission" in (await call("get_usage")).lower()  # it needs an admin key


async def genvoy(call: Tool, folder: Path) -> None:
    assert "fal-ai/flux/schnell" in await call("search_models", query="flux")
    assert "num_inference_steps" in await call("get_schema", model_id="fal-ai/flux/schnell")
    assert "0.003" in await call("estimate_cost", model_id="fal-ai/flux/schnell", count=2)
    drawing = {"model_id": "fal-ai/flux/schnell", "prompt": "a cat", "params": {"image_size": "square"}}
    await call("generate", output_path="cat.png", **drawing)
    is_picture((folder / "cat.png").read_bytes(), (512, 512))
    await call("generate_batch", count=3, output_dir="many", **drawing)
    pictures = list((folder / "many").iterdir())
    assert len(pictures) == 3
    for picture in pictures:
        is_picture(picture.read_bytes(), (512, 512))


SERVERS = {"fal-mcp": fal_mcp_server, "genvoy": genvoy}


async def main(program: str, folder: Path) -> None:
    command = str(Path(sys.executable).with_name(program))
    server = StdioServerParameters(command=command, env=dict(os.environ), cwd=str(folder))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()

        async def call(tool: str, **arguments: Any) -> str:
            answer = await session.call_tool(tool, arguments)
            return "\n".join(part.text for part in answer.content if part.type == "text")

        await SERVERS[program](call, folder)


with tempfile.TemporaryDirectory() as name:
    asyncio.run(main(sys.argv[1], Path(name)))
print("done")
