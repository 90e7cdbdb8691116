"""The request that waits for its answer, and the one that was given up."""

from __future__ import annotations

import attrs

from fal_async.protocol.reconnecting import Outgoing


@attrs.define(eq=False)
class PendingRequest:
    """Set by `RealtimeConnection.request`; the connection below it notes here what was lost.

    Attributes:
        waiting: the request whose sender takes the next message as its answer.
        given_up: a request whose sender stopped waiting, and whose answer may still arrive.
    """

    waiting: Outgoing | None = None
    given_up: Outgoing | None = None

    def lose(self, in_flight: list[Outgoing]) -> Outgoing | None:
        """Note that `in_flight` will not be answered. Return the waiting request if it is among them."""
        if self.given_up in in_flight:
            self.given_up = None
        return self.waiting if self.waiting in in_flight else None
