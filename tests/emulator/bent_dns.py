"""A name resolver that returns one port of this machine for every name."""

from __future__ import annotations

import socket

import attrs
from aiohttp.abc import AbstractResolver, ResolveResult

UNUSED_PORT = 1
"""A port without a listener: connections are refused."""


@attrs.define
class BentDns(AbstractResolver):
    port: int
    dead: frozenset[str] = frozenset()
    """Names whose connections are refused."""
    asked: list[str] = attrs.field(factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        port = UNUSED_PORT if host in self.dead else self.port
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Do nothing: it holds no resources."""
