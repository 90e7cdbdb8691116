"""Decisions of a realtime connection: when to come back, what to keep meanwhile, what to report. Pure."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from typing import Any, Literal

import attrs

from fal_async.checks import check_int, check_seconds, checked
from fal_async.errors import ConfigurationError

Keep = Literal["latest", "all"]
"""What becomes of messages that can't be sent for now. "latest": the newest one is kept, as a model that
draws what it was told last wants it. "all": every one, in order, up to `max_unsent`; then `send` waits."""

MAX_IN_FLIGHT = 64


@attrs.frozen(kw_only=True)
class Reconnect:
    """How a lost realtime connection is made again.

    Attributes:
        attempts: in a row, without a message in between; default 8, about half a minute with the defaults.
        first_delay, max_delay: seconds before the first attempt, doubled each time up to the latter, and
            each time between half and all of it at random; defaults 0.25 and 10.
    """

    attempts: int = attrs.field(default=8, validator=checked(check_int, least=1))
    first_delay: float = attrs.field(default=0.25, validator=checked(check_seconds))
    max_delay: float = attrs.field(default=10.0, validator=checked(check_seconds))

    @classmethod
    def of(cls, wanted: bool | Reconnect) -> Reconnect | None:
        """None: not at all. ConfigurationError for what is neither."""
        if wanted is True:
            return cls()
        if wanted is False:
            return None
        if isinstance(wanted, Reconnect):
            return wanted
        raise ConfigurationError(f"reconnect={wanted!r}: expected True, False or Reconnect(...)")

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds before attempt `attempt`, from 1; `chance` is a random number from 0 to 1."""
        full = min(self.max_delay, self.first_delay * 2.0 ** min(attempt - 1, 60))
        return full * (0.5 + 0.5 * chance)


@attrs.frozen(kw_only=True)
class Reconnected:
    """A lost connection stands again: what `on_reconnect` is told.

    Attributes:
        cause: why the old one ended.
        attempts: how many it took.
        downtime: seconds between the two.
        in_flight: messages that had been sent and not answered (each message received counts as the answer
            to the oldest one sent; at most the newest 64). The model may have had them or not; they are not
            sent again.
        resent: messages that waited, or that the server surely never took, and went out now.
        dropped: how many of those that waited gave way to newer ones (`keep="latest"`).
    """

    cause: Exception
    attempts: int
    downtime: float
    in_flight: tuple[Any, ...] = attrs.field(default=(), repr=False)
    resent: int = 0
    dropped: int = 0


@attrs.define(eq=False)
class Outgoing:
    """A message and its encoded form: text goes out as a text frame."""

    message: Any = attrs.field(repr=False)
    data: bytes | str = attrs.field(repr=False)


class Unsent:
    """Messages that wait for a connection."""

    def __init__(self, keep: Keep, limit: int) -> None:
        if keep not in ("latest", "all"):
            raise ConfigurationError(f"keep={keep!r}: expected 'latest' or 'all'")
        check_int("max_unsent", limit, least=1)
        self._latest_only = keep == "latest"
        self._limit = 1 if self._latest_only else limit
        self.waiting: deque[Outgoing] = deque()
        """To be looked at, not touched."""
        self.dropped: int = 0

    @property
    def full(self) -> bool:
        """Whether the next one must wait outside. Never with "latest": there it takes the other's place."""
        return not self._latest_only and len(self.waiting) >= self._limit

    def add(self, outgoing: Outgoing) -> list[Outgoing]:
        """Gives those that give way to it."""
        self.waiting.append(outgoing)
        return self._drop_the_oldest()

    def put_back(self, older: list[Outgoing]) -> list[Outgoing]:
        """Sent, but surely not taken: they go before those that came since. Gives those that give way."""
        self.waiting.extendleft(reversed(older))
        return self._drop_the_oldest()

    def pop(self) -> Outgoing | None:
        """The next one to be sent."""
        return self.waiting.popleft() if self.waiting else None

    def discard(self, outgoing: Outgoing) -> None:
        """Its sender wants it no more."""
        self.waiting = deque(other for other in self.waiting if other is not outgoing)

    def _drop_the_oldest(self) -> list[Outgoing]:
        dropped = []
        while self._latest_only and len(self.waiting) > self._limit:
            dropped.append(self.waiting.popleft())
        self.dropped += len(dropped)
        return dropped


class InFlight:
    """Messages that were sent and not answered, on the connection that stands now."""

    def __init__(self) -> None:
        self._sent: deque[Outgoing] = deque(maxlen=MAX_IN_FLIGHT)
        self.fruitful: bool = False
        """Whether this connection has brought a message."""

    def add(self, outgoing: Outgoing) -> None:
        """It was sent."""
        self._sent.append(outgoing)

    def remove(self, outgoing: Outgoing) -> None:
        """It was not sent after all."""
        with contextlib.suppress(ValueError):
            self._sent.remove(outgoing)

    def answered(self) -> None:
        self.fruitful = True
        if self._sent:
            self._sent.popleft()

    def __contains__(self, outgoing: object) -> bool:
        return outgoing in self._sent

    def take(self) -> list[Outgoing]:
        """All of them; the next connection begins with none."""
        taken, self.fruitful = list(self._sent), False
        self._sent.clear()
        return taken


class Throttle:
    """At most one message in `interval` seconds; of those in between, the newest waits for its moment."""

    def __init__(self, interval: float) -> None:
        check_seconds("throttle", interval)
        self._interval = float(interval)
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """Seconds until one may go; 0: now, and it counts as sent."""
        if now < self._next:
            return self._next - now
        self._next = now + self._interval
        return 0.0
