"""A file host on loopback that sends exactly the bytes of a test, and closes the connection where the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import attrs

from tests.servers.raw import Asked, head, raw_server

__all__ = ["Asked", "FileHost", "Says", "file_host"]


@attrs.frozen
class Says:
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """The content length is added, unless they have one. An empty value removes a header."""
    status: int = 200
    only: int | None = None
    """The connection is closed after this number of bytes of the body; None sends all."""

    def head(self) -> bytes:
        headers = {"content-length": str(len(self.body)), **self.headers}
        return head(self.status, {name: value for name, value in headers.items() if value})


class FileHost:
    """Answers each request with `answer(request)`; `asked` has all requests in order."""

    def __init__(self, answer: Callable[[Asked], Says | Awaitable[Says]]) -> None:
        self._answer = answer
        self.asked: list[Asked] = []
        self.url = ""

    @property
    def ranges(self) -> list[str | None]:
        return [asked.headers.get("range") for asked in self.asked]

    async def told(self, asked: Asked) -> bytes:
        self.asked.append(asked)
        says = self._answer(asked)
        if not isinstance(says, Says):
            says = await says
        if says.only is None:
            return says.head() + says.body
        asked.writer.write(says.head() + says.body[: says.only])
        await asked.writer.drain()
        raise ConnectionAbortedError("the test asked for it")


@asynccontextmanager
async def file_host(answer: Callable[[Asked], Says | Awaitable[Says]]) -> AsyncIterator[FileHost]:
    host = FileHost(answer)
    async with raw_server(host.told) as host.url:
        yield host
