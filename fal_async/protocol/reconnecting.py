"""Decisions of a realtime connection: when to reconnect, which messages to keep, what to report. Pure."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from typing import Any, Literal

import attrs

from fal_async.checks import check_int, check_seconds, checked
from fal_async.errors import ConfigurationError

Keep = Literal["latest", "all"]
"""Which messages are kept while there is no connection.

"latest": only the newest, for models that work on the latest state. "all": every message, oldest first, up to
`max_unsent`; then `send` waits."""

MAX_IN_FLIGHT = 64
"""Maximum number of messages without a response that are remembered."""


@attrs.frozen(kw_only=True)
class Reconnect:
    """How to reconnect after a realtime connection is lost.

    The delay before an attempt is `first_delay`, doubled for each further attempt up to `max_delay`, multiplied by
    a random number from 0.5 to 1.

    Attributes:
        attempts: the maximum number of attempts without a received message in between (an int >= 1); default 8,
            which takes about half a minute with the default delays.
        first_delay: seconds before the first attempt (> 0); default 0.25.
        max_delay: maximum seconds before an attempt (> 0); default 10.

    Raises:
        ConfigurationError: a value is out of range.
    """

    attempts: int = attrs.field(default=8, validator=checked(check_int, least=1))
    first_delay: float = attrs.field(default=0.25, validator=checked(check_seconds))
    max_delay: float = attrs.field(default=10.0, validator=checked(check_seconds))

    @classmethod
    def of(cls, wanted: bool | Reconnect) -> Reconnect | None:
        """Return the settings that a `reconnect=` argument means.

        Args:
            wanted: whether to reconnect, True with the default settings; or the settings.

        Returns:
            The settings; None for False.

        Raises:
            ConfigurationError: `wanted` is of another type.
        """
        if wanted is True:
            return cls()
        if wanted is False:
            return None
        if isinstance(wanted, Reconnect):
            return wanted
        raise ConfigurationError(f"reconnect={wanted!r}: expected True, False or Reconnect(...)")

    def delay(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait before an attempt.

        Args:
            attempt: number of the attempt, from 1.
            chance: a random number from 0 to 1.
        """
        full = min(self.max_delay, self.first_delay * 2.0 ** min(attempt - 1, 60))
        return full * (0.5 + 0.5 * chance)


@attrs.frozen(kw_only=True)
class Reconnected:
    """A lost realtime connection was restored: the argument of `on_reconnect`.

    Attributes:
        cause: the error that broke the old connection.
        attempts: the number of attempts until the new connection was open.
        downtime: seconds without a connection.
        in_flight: messages that were sent and have no response, at most the newest 64. Each received message counts
            as the response to the oldest sent message. The model may or may not have received these messages, so
            they are not sent again.
        resent: the number of messages that were sent after reconnecting: those that waited for a connection, and
            those that the server certainly did not receive.
        dropped: the number of waiting messages that were replaced by newer ones (`keep="latest"`).
    """

    cause: Exception
    attempts: int
    downtime: float
    in_flight: tuple[Any, ...] = attrs.field(default=(), repr=False)
    resent: int = 0
    dropped: int = 0


@attrs.define(eq=False)
class Outgoing:
    """A message and its encoded form; a str is sent as a text frame."""

    message: Any = attrs.field(repr=False)
    data: bytes | str = attrs.field(repr=False)


class Unsent:
    """Messages that wait for a connection.

    Raises ConfigurationError if `keep` or `limit` is invalid.
    """

    def __init__(self, keep: Keep, limit: int) -> None:
        if keep not in ("latest", "all"):
            raise ConfigurationError(f"keep={keep!r}: expected 'latest' or 'all'")
        check_int("max_unsent", limit, least=1)
        self._latest_only = keep == "latest"
        self._limit = 1 if self._latest_only else limit
        self.waiting: deque[Outgoing] = deque()
        """Read-only for callers."""
        self.dropped: int = 0

    @property
    def full(self) -> bool:
        """Whether the next message must wait; always False with "latest", where it replaces the previous one."""
        return not self._latest_only and len(self.waiting) >= self._limit

    def add(self, outgoing: Outgoing) -> list[Outgoing]:
        """Add a message. Return the messages that it replaces."""
        self.waiting.append(outgoing)
        return self._drop_the_oldest()

    def put_back(self, older: list[Outgoing]) -> list[Outgoing]:
        """Insert messages that the server certainly did not receive, before all newer ones.

        Return the messages that newer ones replace.
        """
        self.waiting.extendleft(reversed(older))
        return self._drop_the_oldest()

    def pop(self) -> Outgoing | None:
        """Return the next message to send, or None."""
        return self.waiting.popleft() if self.waiting else None

    def discard(self, outgoing: Outgoing) -> None:
        """Remove a message because its sender no longer wants to send it."""
        self.waiting = deque(other for other in self.waiting if other is not outgoing)

    def _drop_the_oldest(self) -> list[Outgoing]:
        dropped = []
        while self._latest_only and len(self.waiting) > self._limit:
            dropped.append(self.waiting.popleft())
        self.dropped += len(dropped)
        return dropped


class InFlight:
    """Messages that were sent on the current connection and have no response."""

    def __init__(self) -> None:
        self._sent: deque[Outgoing] = deque(maxlen=MAX_IN_FLIGHT)
        self.fruitful: bool = False
        """Whether a message was received on this connection."""

    def add(self, outgoing: Outgoing) -> None:
        """Note a message as sent."""
        self._sent.append(outgoing)

    def remove(self, outgoing: Outgoing) -> None:
        """Remove a message that was not sent after all."""
        with contextlib.suppress(ValueError):
            self._sent.remove(outgoing)

    def answered(self) -> None:
        """Note a received message, which counts as the response to the oldest sent message."""
        self.fruitful = True
        if self._sent:
            self._sent.popleft()

    def __contains__(self, outgoing: object) -> bool:
        return outgoing in self._sent

    def take(self) -> list[Outgoing]:
        """Return all messages and delete them, for the next connection."""
        taken, self.fruitful = list(self._sent), False
        self._sent.clear()
        return taken


class Throttle:
    """Allows at most one message per `interval` seconds.

    Raises ConfigurationError unless `interval` is a positive number.
    """

    def __init__(self, interval: float) -> None:
        check_seconds("throttle", interval)
        self._interval = float(interval)
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """Return the seconds until a message may be sent. After 0, the caller must send a message now."""
        if now < self._next:
            return self._next - now
        self._next = now + self._interval
        return 0.0
