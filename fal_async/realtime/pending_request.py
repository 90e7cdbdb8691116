"""The calls of `RealtimeConnection.request` whose answers have not arrived."""

from __future__ import annotations

import attrs

from fal_async.protocol.reconnecting import Outgoing


@attrs.define(eq=False)
class PendingRequest:
    """Records which calls of `RealtimeConnection.request` have no answer yet.

    Attributes:
        waiting: the message whose caller gets the next received message as its answer; None: no call waits.
        given_up: a message whose caller stopped waiting, but whose answer may still arrive; None: no such message.
    """

    waiting: Outgoing | None = None
    given_up: Outgoing | None = None

    def lose(self, in_flight: list[Outgoing]) -> Outgoing | None:
        """Record that `in_flight` will not be answered. Return `waiting` if it is among them, else None."""
        if self.given_up in in_flight:
            self.given_up = None
        return self.waiting if self.waiting in in_flight else None
