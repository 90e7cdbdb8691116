"""Translating aiohttp's errors into ours."""

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
"""The classes of aiohttp's failures. UnicodeError is raised when a malformed host name is looked up."""


def raise_as_ours(call: Call, error: BaseException) -> None:
    """Raise our error for a failure of aiohttp, with the original as its cause. Do nothing for other errors."""
    if (isinstance(error, FAILURES) and not isinstance(error, FalError)) or is_closed_in_use(error):
        raise transport_error(call, error) from error


def is_closed_in_use(error: BaseException) -> bool:
    """Return whether aiohttp raised `error` because a connection was closed while aiohttp was using it.

    aiohttp has no exception class for this. It raises RuntimeError or AssertionError; whether aiohttp or a user's
    function raised the error is seen from the module of the innermost frame.
    """
    if not isinstance(error, RuntimeError | AssertionError) or error.__traceback__ is None:
        return False
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    return str(innermost.f_globals.get("__name__")).startswith("aiohttp.")


class aiohttp_errors:  # a context manager in lower case, like `contextlib.suppress`
    """A block that raises our errors in place of aiohttp's."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            raise_as_ours(self._call, error)


class BrokenOff(aiohttp.ClientConnectionError):
    """Replaces the error of a broken connection: for this class, aiohttp does not send the request again."""

    def __init__(self, error: aiohttp.ClientConnectionError) -> None:
        super().__init__()
        self.error = error


async def sent_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Middleware that prevents aiohttp from sending a request twice.

    aiohttp repeats a GET or PUT once when a reused connection breaks. That must not happen to a paid request, or to
    a body that is read while it is sent: before 3.14.4, aiohttp sent only the rest of the body, then waited.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise BrokenOff(error) from error


class Redirected(aiohttp.ClientError):
    """Raised if the handshake of a WebSocket is answered with a redirect."""


async def not_redirected(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Middleware that prevents redirects of WebSockets, for which aiohttp has no option.

    Without it, aiohttp would send the headers, API key included, to the other origin too.
    """
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise Redirected
    return response


def never_connected(error: BaseException) -> bool:
    """Return whether no connection was established, so that nothing was sent."""
    return isinstance(
        error,
        aiohttp.ClientConnectorError
        | aiohttp.ConnectionTimeoutError
        | aiohttp.ClientHttpProxyError
        | UnicodeError,
    )


def unreachable(error: BaseException) -> bool:
    """Return whether to try the backup host: not after a wrong certificate or a failure of the proxy."""
    return never_connected(error) and not isinstance(
        error,
        aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError | aiohttp.ClientHttpProxyError,
    )


def transport_error(call: Call, error: BaseException) -> FalError:
    """Return our error for one of aiohttp. Secrets are removed from `error`, because it becomes the cause."""
    conceal(error)
    return _translated(call, error).about(call.request.ref).about(RequestRef(request_id=call.seen_id))


def _translated(call: Call, error: BaseException) -> FalError:
    host = host_of(call.request.url)
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientConnectorError):
        return TransportTimeoutError(_what_took_too_long(call, error, host))
    if isinstance(error, aiohttp.ClientResponseError) and are_headers_too_large(error):
        return TransportError(
            f"the response's headers are too large ({host}): {LIMITS_IN_WORDS}", retryable=False
        )
    if _is_unknown_coding(error):
        return TransportError(f"the response of {host} has an unknown Content-Encoding", retryable=False)
    return TransportError(_what_broke(call, error, host), retryable=_is_temporary(error))


def _is_unknown_coding(error: BaseException) -> bool:
    """Return whether the response has an unsupported Content-Encoding, such as br, that was not asked for.

    aiohttp raises this when it has read the headers. A body that can't be decoded raises another error.
    """
    if not isinstance(error, aiohttp.ClientResponseError) or error.__cause__ is None:
        return False
    causes = (error.__cause__, error.__cause__.__cause__)
    return any(isinstance(cause, aiohttp.http_exceptions.ContentEncodingError) for cause in causes)


def _is_temporary(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return error.status >= 500
    return not isinstance(error, aiohttp.ClientConnectorCertificateError | Redirected)


def conceal(error: BaseException) -> None:
    """Remove secrets from an error of aiohttp, which tracebacks and error reports show as the cause of ours.

    Its message has the whole URL. Its attributes have the request's headers with the API key, and the proxy's
    password. Frames of aiohttp have the same in local variables, so these frames are removed from the traceback,
    even where DEBUG logging keeps our own frames.
    """
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
    # A FalError among the causes was raised by the source of a body: leave it as it is. Causes may be circular.
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
        return f"{host} accepted no more of the request for {clock.piece:g} s (Timeouts.first_byte)"
    if silence == total and call.request.operation in LONG:
        return f"{host} did not answer within {total:g} s (Timeouts.run)"
    if clock is not None and clock.is_late:
        return f"the response of {host} was not complete within {total:g} s (Timeouts.total)"
    return f"{host} was silent for {silence:g} s (Timeouts.first_byte)"


def _by_which_way(call: Call) -> str:
    """Return words for the proxy that a failed connection used, or for a variable whose proxy was not used."""
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
        return f"the host name {host} can't be resolved: check it, and the network{_by_which_way(call)}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return (
            f"the certificate of {host} is not trusted: for a private authority, pass an SSL context as ssl="
        )
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return f"no TLS connection to {host}: {_tls_words(error)}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"no connection to {host}{_by_which_way(call)}: the proxy answered with status {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"no connection to {host}{_by_which_way(call)}: {_os_words(error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {host}: {_os_words(error)}{_by_which_way(call)}"
    if isinstance(error, Redirected):
        return f"{host} redirected the WebSocket: redirects are not followed"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return f"{host} closed the connection without a response{_or_https(call)}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return f"the connection to {host} broke before the end of the response's body"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{host} did not answer in HTTP{_or_https(call)}"
    if isinstance(error, RuntimeError | AssertionError):
        return f"the connection to {host} was closed during the request"
    return f"the connection to {host} broke: {_os_words(error)}"


def _or_https(call: Call) -> str:
    """Suggest https for a plain URL: a server that expects TLS closes the connection, or sends bytes of TLS."""
    return " (does it expect https?)" if call.request.url.startswith(("http:", "ws:")) else ""


def _tls_words(error: BaseException) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return "the server does not speak TLS (does it expect http?)"
    return str(reason or type(error).__name__).lower().replace("_", " ")


def _os_words(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else type(error).__name__
