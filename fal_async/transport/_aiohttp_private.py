"""The private names of aiohttp that the transport reads: a test fails by name where aiohttp renames one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
from yarl import URL


def loop_of(session: aiohttp.ClientSession) -> asyncio.AbstractEventLoop:
    """The event loop a session belongs to: its own property for it is deprecated."""
    return session._loop


def default_proxy_of(session: aiohttp.ClientSession) -> str | None:
    """The proxy that a session was made with, with its user and password."""
    proxy, auth = session._default_proxy, session._default_proxy_auth
    if proxy is None or auth is None:
        return None if proxy is None else str(proxy)
    return str(URL(proxy).with_user(auth.login).with_password(auth.password))


def use_traces_of(borrowed: aiohttp.ClientSession, session: aiohttp.ClientSession) -> None:
    """Not as an argument of the session: instrumentation adds its own to each new one, and would be told twice."""
    session._trace_configs = borrowed.trace_configs


def idle_protocols(connector: aiohttp.BaseConnector | None) -> Iterator[Any]:
    """The other ends of all connections that a connector keeps for later."""
    for kept in () if connector is None else tuple(connector._conns.values()):
        for protocol, _ in kept:
            yield protocol


def in_use(session: aiohttp.ClientSession) -> int:
    """Connections on which a request is under way, or an answer that is neither read to its end nor closed."""
    return 0 if session.connector is None else len(session.connector._acquired)


def has_begun_an_answer(protocol: Any) -> bool:
    """Whether a part of an answer has come on an idle connection. Its parser is of no use any more after this."""
    parser = protocol._parser
    if parser is None:
        return False
    # The parser in pure Python keeps a line that has not ended in its `_tail`.
    return bool(getattr(parser, "_tail", b"")) or parser.feed_eof() is not None
