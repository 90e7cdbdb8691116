"""The certificate of a server: who issued it, and when it expires. Also of one that is not trusted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Certificate:
    """Attributes of a server's certificate.

    Attributes:
        issuer: the organisation that issued it, or the common name of the issuer; "" if unknown.
        expires: when it expires, in seconds since the epoch.
        is_trusted: whether this machine trusts it.
    """

    issuer: str
    expires: float
    is_trusted: bool = True


def certificate_of(parsed: Mapping[str, Any] | None, *, is_trusted: bool = True) -> Certificate | None:
    """Return the certificate that `getpeercert()` has parsed; None if it has parsed nothing."""
    if not parsed or "notAfter" not in parsed:
        return None
    names = {name: value for part in parsed.get("issuer", ()) for name, value in part}
    issuer = names.get("organizationName") or names.get("commonName") or ""
    return Certificate(
        issuer=issuer, expires=ssl.cert_time_to_seconds(parsed["notAfter"]), is_trusted=is_trusted
    )


async def untrusted_certificate(
    host: str, connected: Callable[[], Awaitable[asyncio.StreamWriter]]
) -> Certificate | None:
    """Return the certificate of a server that is not trusted; None if it can't be read.

    The standard library parses only a verified certificate. So it is fetched without verification, and then
    verified by itself. No data is sent over either connection.

    Args:
        host: the name of the server.
        connected: opens a connection to the server, before TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError, EOFError, ValueError):
        raw = await _peer_certificate(host, await connected(), context, binary=True)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=raw)
        parsed = await _peer_certificate(host, await connected(), context, binary=False)
        return certificate_of(parsed, is_trusted=False)
    return None


async def _peer_certificate(
    host: str, writer: asyncio.StreamWriter, context: ssl.SSLContext, *, binary: bool
) -> Any:
    await writer.start_tls(context, server_hostname=host)
    return writer.get_extra_info("ssl_object").getpeercert(binary)
