"""The border where aiohttp's errors become ours."""

from __future__ import annotations

import errno
import os
import ssl
import traceback
from types import FrameType

import aiohttp
import aiohttp.http_exceptions
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from fal_async.errors import (
    FalError,
    RequestRef,
    TransportError,
    TransportTimeoutError,
    callers_frames,
    one_line,
)
from fal_async.protocol.origins import host_of, without_query
from fal_async.transport.attempt import LONG, Call
from fal_async.transport.header_limits import LIMITS_IN_WORDS, are_headers_too_large

FAILURES = (aiohttp.ClientError, TimeoutError, OSError, UnicodeError)
"""The last one is the look-up's, for a host name that can be none."""


def raise_as_ours(call: Call, error: BaseException) -> None:
    """Raise ours for a failure of aiohttp's, with the original as its cause. Other errors: nothing."""
    if (isinstance(error, FAILURES) and not isinstance(error, FalError)) or was_closed_meanwhile(error):
        raise transport_error(call, error) from error


def was_closed_meanwhile(error: BaseException) -> bool:
    """What aiohttp raises where its connections are closed in the same step: no kind of its own, so the place
    where it was raised tells it from an exception of a user's function."""
    if not isinstance(error, RuntimeError | AssertionError) or error.__traceback__ is None:
        return False
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    return str(innermost.f_globals.get("__name__")).startswith("aiohttp.")


class aiohttp_errors:  # as `contextlib.suppress`
    """Failures of aiohttp's that leave this block are raised as ours."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            raise_as_ours(self._call, error)


class BrokenOff(aiohttp.ClientConnectionError):
    """A connection that broke, in a guise in which aiohttp does not send the request again."""

    def __init__(self, error: aiohttp.ClientConnectionError) -> None:
        super().__init__()
        self.error = error


async def sent_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """For a paid GET or PUT, and for a body that is read as it goes: aiohttp repeats those once by itself when a
    reused connection breaks. Before 3.14.4 it did so with what was left of the body, and waited for an answer."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise BrokenOff(error) from error


class Redirected(aiohttp.ClientError):
    """The handshake of a WebSocket was answered with a redirect."""


async def not_redirected(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """For WebSockets: aiohttp can't be told not to follow, and would send the headers along to another origin."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise Redirected
    return response


def never_connected(error: BaseException) -> bool:
    return isinstance(
        error,
        aiohttp.ClientConnectorError
        | aiohttp.ConnectionTimeoutError
        | aiohttp.ClientHttpProxyError
        | UnicodeError,
    )


def unreachable(error: BaseException) -> bool:
    """No connection, and not for want of trust: where a certificate is wrong, the backup host is no way out."""
    return never_connected(error) and not isinstance(
        error,
        aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError | aiohttp.ClientHttpProxyError,
    )


def transport_error(call: Call, error: BaseException) -> FalError:
    """Ours for one of aiohttp's, which stays as its cause, without what nobody may see."""
    conceal(error)
    return _translated(call, error).about(call.request.ref).about(RequestRef(request_id=call.seen_id))


def _translated(call: Call, error: BaseException) -> FalError:
    host = host_of(call.request.url)
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientConnectorError):
        return TransportTimeoutError(_what_took_too_long(call, error, host))
    if isinstance(error, aiohttp.ClientResponseError) and are_headers_too_large(error):
        return TransportError(
            f"the answer's headers are too large ({host}): {LIMITS_IN_WORDS}", retryable=False
        )
    if _is_unknown_coding(error):
        return TransportError(
            f"the answer of {host} has a Content-Encoding that is not known", retryable=False
        )
    return TransportError(_what_broke(call, error, host), retryable=_is_passing(error))


def _is_unknown_coding(error: BaseException) -> bool:
    """Such as br, which nobody asked for. Found with the headers: a body that does not decode is a broken one."""
    if not isinstance(error, aiohttp.ClientResponseError) or error.__cause__ is None:
        return False
    causes = (error.__cause__, error.__cause__.__cause__)
    return any(isinstance(cause, aiohttp.http_exceptions.ContentEncodingError) for cause in causes)


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return error.status >= 500
    return not isinstance(error, aiohttp.ClientConnectorCertificateError | Redirected)


def conceal(error: BaseException) -> None:
    """aiohttp's texts hold whole URLs; its values the headers that were sent, key and all, and a proxy's password.
    They would be in each traceback, and in whatever shows the `repr` of a cause. Its frames hold them, too: they go
    with DEBUG logs as well, which keep ours."""
    _cut_below_ours(error)
    if isinstance(error, aiohttp.ClientResponseError):
        url = URL(without_query(str(error.request_info.real_url)), encoded=True).with_user(None)
        error.request_info = aiohttp.RequestInfo(
            url, error.request_info.method, CIMultiDictProxy(CIMultiDict()), url
        )
        error.history, error.headers = (), None
    elif isinstance(error, OSError) and isinstance(error.strerror, str):
        error.strerror = one_line(error.strerror)
    known = (arg for arg in error.args if isinstance(arg, str | int | BaseException))
    error.args = tuple(one_line(arg) if isinstance(arg, str) else arg for arg in known)


def _cut_below_ours(error: BaseException) -> None:
    entry, cause = error.__traceback__, error.__cause__
    while entry is not None:
        if entry.tb_next is not None and not _is_ours(entry.tb_next.tb_frame):
            entry.tb_next = None
        entry = entry.tb_next
    seen: set[int] = set()
    # Ours among them is what the source of a body raised. It may be a cause of its own.
    while cause is not None and not isinstance(cause, FalError) and id(cause) not in seen:
        seen.add(id(cause))
        cause.__traceback__ = callers_frames(cause.__traceback__)
        cause = cause.__cause__


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("fal_async.")


def _what_took_too_long(call: Call, error: BaseException, host: str) -> str:
    (silence, total), clock = call.limits, call.clock
    if never_connected(error):
        words = f"no connection to {host} within {call.timeouts.connect:g} s (Timeouts.connect)"
        return words + _by_which_way(call)
    if clock is not None and clock.is_sending:
        return f"{host} took no more of the request for {clock.piece:g} s (Timeouts.first_byte)"
    if silence == total and call.request.operation in LONG:
        return f"{host} did not answer within {total:g} s (Timeouts.run)"
    if clock is not None and clock.is_late:
        return f"the answer of {host} was not complete within {total:g} s (Timeouts.total)"
    return f"{host} was silent for {silence:g} s (Timeouts.first_byte)"


def _by_which_way(call: Call) -> str:
    """Through which proxy, or that one is named and not followed: of a connection that could not be had."""
    route = call.route
    if route.proxy is not None:
        return f" through the proxy {route.host} ({route.named_by})"
    return f" ({route.ignored} names a proxy, but trust_env is False)" if route.ignored else ""


def _what_broke(call: Call, error: BaseException, host: str) -> str:
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files: lower max_connections= or raise the limit (`ulimit -n`)"
    if isinstance(error, aiohttp.ClientConnectorDNSError) and call.route.proxy is not None:
        return f"the name of the proxy {call.route.host} ({call.route.named_by}) can't be resolved"
    if isinstance(error, aiohttp.ClientConnectorDNSError | UnicodeError):
        return (
            f"the name {host} can't be resolved: is the network up, and the host right?{_by_which_way(call)}"
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return f"the certificate of {host} is not trusted: pass a context with ssl= for a private one"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return f"no TLS connection to {host}: {_tls_words(error)}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"no connection to {host}{_by_which_way(call)}: it answered {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"no connection to {host}{_by_which_way(call)}: {_os_words(error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {host}: {_os_words(error)}{_by_which_way(call)}"
    if isinstance(error, Redirected):
        return f"{host} redirected the WebSocket: that is not followed"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return f"{host} closed the connection without an answer{_or_https(call)}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return f"the answer of {host} broke off in its body"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{host} did not answer in HTTP{_or_https(call)}"
    if isinstance(error, RuntimeError | AssertionError):
        return f"the connection to {host} was closed meanwhile"
    return f"the connection to {host} broke: {_os_words(error)}"


def _or_https(call: Call) -> str:
    """A server that expects TLS answers plain HTTP with its end, or with bytes of TLS."""
    return " (or does it expect https?)" if call.request.url.startswith(("http:", "ws:")) else ""


def _tls_words(error: BaseException) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return "it does not speak TLS (or does it expect http?)"
    return str(reason or type(error).__name__).lower().replace("_", " ")


def _os_words(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else type(error).__name__
