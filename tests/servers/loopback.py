"""fal's host names on this machine: a resolver that maps them to loopback ports, and a client that trusts it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager

import aiohttp
import attrs
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.emulator.certificates import client_side

NOWHERE = -1
"""Used as a port: the name can't be resolved."""


@attrs.define
class Directory(AbstractResolver):
    """Maps names to ports of 127.0.0.1. The map may change while it is in use."""

    ports: dict[str, int]
    asked: list[str] = attrs.field(factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.ports.get(host, NOWHERE)
        if found == NOWHERE:
            raise OSError(None, f"no such name: {host}")
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=found, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


@asynccontextmanager
async def a_client(directory: Directory) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield an aiohttp session to lend. It trusts the tests' CA and resolves names with `directory`, uncached."""
    connector = aiohttp.TCPConnector(resolver=directory, ssl=client_side(), use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector) as http:
        yield http


@contextmanager
def crowded_port() -> Iterator[int]:
    """A port whose accept queue is full, so that the kernel leaves new connections waiting."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = int(listening.getsockname()[1])
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def all_at(port: int, **other: int) -> Mapping[str, int]:
    """Map fal's four names to one port, except those in `other` (with double underscores for dots)."""
    names = ("fal.run", "queue.fal.run", "falrun.com", "queue.falrun.com")
    changed = {name.replace("__", "."): port for name, port in other.items()}
    return {**dict.fromkeys(names, port), **changed}
