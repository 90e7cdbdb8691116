"""Who is told that the answers to messages on the way won't come: nobody may wait for them for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fal_async.errors import RealtimeError
from fal_async.protocol.reconnecting import Outgoing
from fal_async.realtime.message_queue import MessageQueue
from fal_async.realtime.pending_request import PendingRequest


class LostAnswers:
    """`problem` makes the errors.

    `untold`: for whoever receives next; None: everybody knows.
    """

    def __init__(
        self, messages: MessageQueue, pending: PendingRequest, problem: Callable[..., RealtimeError]
    ) -> None:
        self._messages, self._pending, self._problem = messages, pending, problem
        self._since: list[Any] = []
        self.untold: RealtimeError | None = None

    def lose(self, sent: list[Outgoing], lost: RealtimeError) -> list[Any]:
        """The connection is gone. The request among them is told at once; gives all of them as messages."""
        requests = self._pending.waiting, self._pending.given_up
        self._since = [outgoing.message for outgoing in sent if outgoing not in requests]
        request = self._pending.lose(sent)
        if request is not None:
            words = f"the connection was lost before the answer: {lost.message}"
            self._messages.interrupt(self._problem(words, code=lost.code, in_flight=[request.message]))
        return [outgoing.message for outgoing in sent]

    def tell(self, lost: RealtimeError) -> None:
        """Another connection stands, and nobody else is told: an error for who receives, now or next."""
        if not self._since:
            return
        in_flight = [*(() if self.untold is None else self.untold.in_flight), *self._since]
        words = (
            f"{len(in_flight)} message(s) were sent and not answered before the connection was made anew "
            f"({lost.message}); to be told without an error, give on_reconnect="
        )
        error, self._since = self._problem(words, code=lost.code, in_flight=in_flight), []
        # A request that waits now is none of them: it is sent on the new connection, and answered there.
        heard = self._pending.waiting is None and self._messages.interrupt(error)
        self.untold = None if heard else error

    def raise_untold(self) -> None:
        """Once all that came before was taken."""
        if self.untold is not None and not self._messages.waiting:
            error, self.untold = self.untold, None
            raise error

    def gives_way(self, request: Outgoing) -> None:
        """A newer message took the place of a request that waited to be sent: it will never be answered."""
        if request is self._pending.waiting:
            words = "the request was not sent: a newer message took its place while there was no connection"
            self._messages.interrupt(self._problem(words))
