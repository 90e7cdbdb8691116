"""The request that waits for its answer, and the one whose sender stopped waiting."""

from __future__ import annotations

import attrs

from fal_async.protocol.reconnecting import Outgoing


@attrs.define(eq=False)
class PendingRequest:
    """Set by `RealtimeConnection.request`; the connection below it says here what was lost.

    Attributes:
        waiting: its sender takes the next message as its answer.
        given_up: its sender stopped waiting, and its answer may still come.
    """

    waiting: Outgoing | None = None
    given_up: Outgoing | None = None

    def lose(self, in_flight: list[Outgoing]) -> Outgoing | None:
        """No answer to `in_flight` comes any more. Gives the waiting request if it is among them."""
        if self.given_up in in_flight:
            self.given_up = None
        return self.waiting if self.waiting in in_flight else None
