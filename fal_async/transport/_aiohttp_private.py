"""The private names of aiohttp that the transport uses. If aiohttp renames one, a test fails and says which."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
from yarl import URL


def loop_of(session: aiohttp.ClientSession) -> asyncio.AbstractEventLoop:
    """Return the event loop of a session, whose public property for it is deprecated."""
    return session._loop


def default_proxy_of(session: aiohttp.ClientSession) -> str | None:
    """Return the URL of a session's proxy, user and password included; None without a proxy."""
    proxy, auth = session._default_proxy, session._default_proxy_auth
    if proxy is None or auth is None:
        return None if proxy is None else str(proxy)
    return str(URL(proxy).with_user(auth.login).with_password(auth.password))


def use_traces_of(borrowed: aiohttp.ClientSession, session: aiohttp.ClientSession) -> None:
    """Make `session` use the traces of `borrowed`.

    If the traces were passed to the new session's constructor, instrumentation that patches the constructor would
    add its traces a second time.
    """
    session._trace_configs = borrowed.trace_configs


def idle_protocols(connector: aiohttp.BaseConnector | None) -> Iterator[Any]:
    """Yield the protocols of all idle connections of a connector."""
    for kept in () if connector is None else tuple(connector._conns.values()):
        for protocol, _ in kept:
            yield protocol


def in_use(session: aiohttp.ClientSession) -> int:
    """Return how many connections have a running request, or a response that is neither fully read nor closed."""
    return 0 if session.connector is None else len(session.connector._acquired)


def has_begun_an_answer(protocol: Any) -> bool:
    """Return whether part of a response has arrived on an idle connection. Its parser can't be used afterwards."""
    parser = protocol._parser
    if parser is None:
        return False
    # aiohttp's pure Python parser keeps an incomplete line in its `_tail`.
    return bool(getattr(parser, "_tail", b"")) or parser.feed_eof() is not None
