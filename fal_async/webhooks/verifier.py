"""Whether a webhook delivery is fal's: signature, clock, and (if asked) the sender's address (protocol 8)."""

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
"""Bytes of a delivery's body."""
_BIG_BODY = 256 * 1024
"""From here on a body is hashed in a thread: 16 MiB would hold the event loop for tens of milliseconds."""
V = TypeVar("V")
Fetch = Callable[[], Awaitable[bytes]]


@short_tracebacks
class WebhookVerifier:
    """Checks deliveries against fal's key set, which is fetched when first needed and shared by all checks.

    Args:
        fetch_keys: gives the key set's bytes; `fal.webhooks` fetches them from the session's REST host.
        fetch_ranges: gives the bytes of `/v1/meta`. With it, a delivery from another address is refused;
            None (default): the address is not looked at.
        tolerance: seconds that a signature may be old or ahead; default 300.
        max_body: bytes of a body that is looked at; default 16 MiB.
        clock: Unix seconds; for tests.
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
        """The event, if this is a delivery of fal's.

        headers     as they came: a mapping with names in any case, or pairs
        body        the raw bytes: not parsed and encoded again
        client      the sender's IP address; needed only where it is checked

        WebhookVerificationError: it is not fal's. TransportError or another FalError: the keys could not be
        had, so that nothing is known; answer 5xx, and fal tries again. ConfigurationError: the body is no bytes.
        """
        if not isinstance(body, bytes | bytearray):
            raise ConfigurationError(
                f"the body is a {type(body).__name__}: pass the raw bytes of the request, not parsed"
            )
        signed = read_headers(headers)
        if len(body) > self.max_body:
            raise WebhookVerificationError(f"the body is larger than {self.max_body} bytes")
        check_time(signed, self._clock(), self._tolerance)
        await self._check_sender(client)
        message = await _off_the_loop(message_of, len(body), signed, body)
        if not await self._is_signed(message, signed.signature):
            raise WebhookVerificationError("none of fal's keys made this signature")
        return parse_event(bytes(body), signed)

    async def aclose(self) -> None:
        """Ends a fetch that is under way."""
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


async def _off_the_loop(function: Callable[..., bytes], size: int, *arguments: object) -> bytes:
    if size > _BIG_BODY:
        with contextlib.suppress(RuntimeError):  # no thread is to be had, as where the loop is about to end
            return await asyncio.to_thread(function, *arguments)
    return function(*arguments)


def ed25519_check() -> SignatureCheck:
    """ConfigurationError where the package `cryptography` is missing."""
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
    """A value that is fetched once for all who ask, kept for a day, and renewed while it is still good."""

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
            self._flight.start(self._fetch_now)  # nobody waits for it: the value at hand is good for hours
        return known.value

    async def renewed(self) -> V | None:
        """Fetched anew; None where that was done within the last minute, or fails."""
        if not self._flight.under_way and not may_try_again(self._tried_at, self._clock()):
            return None
        try:
            return await self._newer_than(self._flight.value)
        except FalError:
            return None

    async def aclose(self) -> None:
        await self._flight.aclose()

    async def _newer_than(self, known: _Fetched[V] | None) -> V:
        # Started in the background first: fal gives up waiting for us after 15 s and comes again, and the
        # fetch should be done by then.
        self._flight.start(self._fetch_now)
        return (await self._flight.get(lambda fetched: fetched is not known, self._fetch_now)).value

    async def _fetch_now(self) -> _Fetched[V]:
        self._tried_at = self._clock()
        try:
            value = self._parse(await self._fetch())
        except asyncio.CancelledError:  # only `aclose` cancels it
            raise SessionStateError("the session was closed while fal's webhook keys were fetched") from None
        except Exception as error:
            logger.warning("fal's webhook keys could not be fetched: %s", error)
            raise
        return _Fetched(value=value, at=self._clock())
