"""A tunnel as `cloudflared` makes one: a public URL that leads to a server of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.servers.loopback import port_of


@asynccontextmanager
async def tunnel() -> AsyncIterator[tuple[str, Callable[[str], None]]]:
    """The public URL, and a function that says which local URL it leads to."""
    local_port = 0

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_app, to_app = await asyncio.open_connection("127.0.0.1", local_port)
        await asyncio.gather(pipe(reader, to_app), pipe(from_app, writer), return_exceptions=True)

    def lead_to(url: str) -> None:
        nonlocal local_port
        local_port = port_of(url)

    async with await asyncio.start_server(carry, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}", lead_to
