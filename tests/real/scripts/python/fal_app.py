"""A real application of the `fal` package, served by uvicorn under /me/app.

Run as `python fal_app.py FD`, where FD is the descriptor of the listening socket.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import fal
import uvicorn
from fal.exceptions import RequestCancelledException
from fastapi import Header
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

PREFIX = "/me/app"


class Prompt(BaseModel):
    prompt: str
    image: bytes = b""


class Answer(BaseModel):
    output: str
    image: bytes = b""


class Words(fal.App):
    def setup(self) -> None:
        self.works: dict[str, asyncio.Task[str]] = {}

    @fal.endpoint("/")
    def plain(self, prompt: Prompt) -> Answer:
        print("upper", prompt.prompt)
        return Answer(output=prompt.prompt.upper())

    @fal.endpoint("/long")
    async def long(self, prompt: Prompt, x_fal_request_id: str = Header()) -> Answer:
        work = self.works[x_fal_request_id] = asyncio.create_task(asyncio.sleep(60, prompt.prompt))
        try:
            return Answer(output=await work)
        except asyncio.CancelledError:
            raise RequestCancelledException("stopped by the app") from None

    @fal.endpoint("/long/cancel")
    async def cancel(self, x_fal_request_id: str = Header()) -> dict[str, str]:
        while x_fal_request_id not in self.works:
            await asyncio.sleep(0.01)  # the cancellation has arrived before the request
        self.works.pop(x_fal_request_id).cancel()
        return {}

    @fal.endpoint("/stream")
    def stream(self, prompt: Prompt) -> StreamingResponse:
        async def events() -> Any:
            for word in prompt.prompt.split():
                yield f"data: {json.dumps({'output': word})}\n\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(events(), media_type="text/event-stream")

    @fal.realtime("/realtime", buffering=5, session_timeout=0.5)
    def realtime(self, prompt: Prompt) -> Answer:
        if prompt.prompt == "fail":
            raise ValueError("no such prompt")
        return Answer(output=prompt.prompt.upper(), image=prompt.image[::-1])

    @fal.realtime("/many", session_timeout=0.5)
    async def many(self, prompt: Prompt) -> AsyncIterator[Answer]:
        for word in prompt.prompt.split():
            yield Answer(output=word)
            await asyncio.sleep(0.05)  # the framework may reorder faster responses, as it documents


class Mounted:
    """Removes owner and app from the path, as the platform's gateway does."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            path = scope["path"].removeprefix(PREFIX) or "/"
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self.app(scope, receive, send)


if __name__ == "__main__":
    application = Words(_allow_init=True)._build_app()
    config = uvicorn.Config(Mounted(application), lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
