"""Check that fal sent a webhook delivery, by its signature, timestamp and (optional) sender's address (protocol 8).

Citations such as (protocol 8.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import attrs

from fal_async.errors import (
    ConfigurationError,
    FalError,
    SessionStateError,
    WebhookVerificationError,
    short_tracebacks,
)
from fal_async.protocol.webhook_events import WebhookEvent, parse_event
from fal_async.protocol.webhooks import (
    TOLERANCE,
    HeaderFields,
    Refresh,
    SignatureCheck,
    check_time,
    is_sender,
    is_signed,
    may_try_again,
    message_of,
    parse_key_set,
    parse_sender_ranges,
    read_headers,
    refresh_of,
)
from fal_async.single_flight import SingleFlight

logger: logging.Logger = logging.getLogger("fal_async")
DEFAULT_MAX_DELIVERY_BODY = 16 * 1024 * 1024
"""Maximum number of bytes of a delivery's body."""
_BIG_BODY = 256 * 1024
"""A body of more bytes is hashed in a thread: 16 MiB would block the event loop for tens of milliseconds."""
V = TypeVar("V")
Fetch = Callable[[], Awaitable[bytes]]
"""Fetches the key set, or the address ranges, and returns the body of the response."""


@short_tracebacks
class WebhookVerifier:
    """Checks that fal sent a delivery (protocol 8.3).

    fal's key set is fetched on first use, shared by all checks, and used for at most a day. If no key matches a
    signature, the key set is fetched again, at most once a minute.

    Args:
        fetch_keys: Returns the body of fal's key set, as `fal.webhooks.fetch_keys` does.
        fetch_ranges: Returns the body of `GET /v1/meta`, as `fal.webhooks.fetch_ranges` does. Deliveries from
            addresses that it does not list are refused. None (default): addresses are not checked.
        tolerance: Seconds by which the signed timestamp may differ from the clock. Default 300.
        max_body: Maximum size of a body in bytes. Default 16 MiB.
        clock: Returns the time in Unix seconds; for tests. Default `time.time`.

    Attributes:
        max_body: The maximum size of a body in bytes.

    Raises:
        ConfigurationError: If the extra `webhooks` (the package `cryptography`) is not installed.
    """

    def __init__(
        self,
        fetch_keys: Fetch,
        *,
        fetch_ranges: Fetch | None = None,
        tolerance: float = TOLERANCE,
        max_body: int = DEFAULT_MAX_DELIVERY_BODY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.max_body = max_body
        self._tolerance, self._clock = tolerance, clock
        self._keys = _Cached(fetch_keys, parse_key_set, clock)
        self._ranges = None if fetch_ranges is None else _Cached(fetch_ranges, parse_sender_ranges, clock)
        self._check = ed25519_check()

    async def verify(
        self, headers: HeaderFields, body: bytes | bytearray, *, client: str | None = None
    ) -> WebhookEvent:
        """Check a delivery and return its event (protocol 8.3).

        Cancelling is safe: a running fetch of fal's keys continues, and later checks use the keys.

        Args:
            headers: The headers of the HTTP request: a mapping with names in any case, or pairs.
            body: The raw bytes of the body. A body that was parsed and encoded again may not match the signature.
            client: The sender's IP address, which is required with `fetch_ranges`. None (default): with
                `fetch_ranges` the delivery is refused.

        Returns:
            The event.

        Raises:
            WebhookVerificationError: If fal did not send the delivery, or the body is larger than `max_body`.
                Answer 401.
            ConfigurationError: If `body` is not bytes, or `headers` are neither a mapping nor pairs.
            FalError: If fal's keys can't be fetched to check the signature, such as TransportError. Answer 5xx, and
                fal delivers again.
        """
        if not isinstance(body, bytes | bytearray):
            raise ConfigurationError(
                f"body is of type {type(body).__name__}: expected the raw bytes of the request, not a parsed body"
            )
        signed = read_headers(headers)
        if len(body) > self.max_body:
            raise WebhookVerificationError(f"the body is larger than {self.max_body} bytes")
        check_time(signed, self._clock(), self._tolerance)
        await self._check_sender(client)
        message = await _hashed(message_of, len(body), signed, body)
        if not await self._is_signed(message, signed.signature):
            raise WebhookVerificationError("the signature matches none of fal's keys")
        return parse_event(bytes(body), signed)

    async def aclose(self) -> None:
        """Cancel running fetches of fal's keys and addresses.

        Cancelling is safe: `aclose` can be called again. Raises nothing.
        """
        await self._keys.aclose()
        if self._ranges is not None:
            await self._ranges.aclose()

    async def _check_sender(self, client: str | None) -> None:
        if self._ranges is None:
            return
        if client is None or not is_sender(client, await self._ranges.get()):
            raise WebhookVerificationError("the sender's address is not one of fal's")

    async def _is_signed(self, message: bytes, signature: bytes) -> bool:
        keys: Sequence[bytes] = await self._keys.get()
        if is_signed(message, signature, keys, self._check):
            return True
        newer = await self._keys.renewed()
        return newer is not None and newer != keys and is_signed(message, signature, newer, self._check)


async def _hashed(function: Callable[..., bytes], size: int, *arguments: object) -> bytes:
    """Return `function(*arguments)`, which hashes `size` bytes: in a thread if they are many."""
    if size > _BIG_BODY:
        # RuntimeError: no thread can be started, for example while the event loop is shut down.
        with contextlib.suppress(RuntimeError):
            return await asyncio.to_thread(function, *arguments)
    return function(*arguments)


def ed25519_check() -> SignatureCheck:
    """Return the Ed25519 check. Raises ConfigurationError if the package `cryptography` is not installed."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise ConfigurationError(
            "webhooks are verified with the package 'cryptography': pip install 'fal-async[webhooks]'"
        ) from error

    def check(key: bytes, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    return check


@attrs.frozen(kw_only=True)
class _Fetched(Generic[V]):
    value: V
    at: float


class _Cached(Generic[V]):
    """A value that is fetched once for all concurrent callers, used for a day, and renewed in the background."""

    def __init__(self, fetch: Fetch, parse: Callable[[bytes], V], clock: Callable[[], float]) -> None:
        self._fetch, self._parse, self._clock = fetch, parse, clock
        self._flight: SingleFlight[_Fetched[V]] = SingleFlight()
        self._tried_at: float | None = None

    async def get(self) -> V:
        known = self._flight.value
        wanted = refresh_of(None if known is None else known.at, self._tried_at, self._clock())
        if wanted is Refresh.NEEDED or known is None:
            return await self._newer_than(known)
        if wanted is Refresh.WANTED:
            self._flight.start(self._fetch_now)  # in the background: the cached value is valid for hours
        return known.value

    async def renewed(self) -> V | None:
        """Fetch the value again and return it; None if the last fetch is less than a minute old, or if it fails."""
        if not self._flight.under_way and not may_try_again(self._tried_at, self._clock()):
            return None
        try:
            return await self._newer_than(self._flight.value)
        except FalError:
            return None

    async def aclose(self) -> None:
        await self._flight.aclose()

    async def _newer_than(self, known: _Fetched[V] | None) -> V:
        # The fetch is started in the background, so that it continues without callers: fal's delivery times out
        # after 15 s, and the next delivery should find the fetched value.
        self._flight.start(self._fetch_now)
        return (await self._flight.get(lambda fetched: fetched is not known, self._fetch_now)).value

    async def _fetch_now(self) -> _Fetched[V]:
        self._tried_at = self._clock()
        try:
            value = self._parse(await self._fetch())
        except asyncio.CancelledError:  # only `aclose` cancels this task
            raise SessionStateError(
                "the session was closed while fal's webhook keys or addresses were fetched"
            ) from None
        except Exception as error:
            logger.warning("fal's webhook keys or addresses could not be fetched: %s", error)
            raise
        return _Fetched(value=value, at=self._clock())
