"""Reports messages that will not be answered, because their connection was lost, so that no task waits forever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fal_async.errors import RealtimeError
from fal_async.protocol.reconnecting import Outgoing
from fal_async.realtime.message_queue import MessageQueue
from fal_async.realtime.pending_request import PendingRequest


class LostAnswers:
    """Raises errors for lost answers in the tasks that wait for them. The function `problem` makes the errors.

    `unreported`: an error that the next task that receives will get, or None.
    """

    def __init__(
        self, messages: MessageQueue, pending: PendingRequest, problem: Callable[..., RealtimeError]
    ) -> None:
        self._messages, self._pending, self._problem = messages, pending, problem
        self._since: list[Any] = []
        self.unreported: RealtimeError | None = None

    def lose(self, sent: list[Outgoing], lost: RealtimeError) -> list[Any]:
        """Record that the connection was lost, with `sent` unanswered. Return the messages of `sent`.

        If the pending request is among them, its caller gets an error at once.
        """
        requests = self._pending.waiting, self._pending.given_up
        self._since = [outgoing.message for outgoing in sent if outgoing not in requests]
        request = self._pending.lose(sent)
        if request is not None:
            words = f"the connection was lost before the answer: {lost.message}"
            self._messages.interrupt(self._problem(words, code=lost.code, in_flight=[request.message]))
        return [outgoing.message for outgoing in sent]

    def report(self, lost: RealtimeError) -> None:
        """Without `on_reconnect`: raise an error for the lost answers in the task that receives now or next."""
        if not self._since:
            return
        in_flight = [*(() if self.unreported is None else self.unreported.in_flight), *self._since]
        words = (
            f"{len(in_flight)} message(s) were sent and not answered before the connection was replaced "
            f"({lost.message}); to be notified without an error, pass on_reconnect="
        )
        error, self._since = self._problem(words, code=lost.code, in_flight=in_flight), []
        # A request that is pending now must not get the error: it is sent on the new connection, and answered
        # there.
        is_raised = self._pending.waiting is None and self._messages.interrupt(error)
        self.unreported = None if is_raised else error

    def raise_unreported(self) -> None:
        """Raise the unreported error, if all messages that arrived before it were received."""
        if self.unreported is not None and not self._messages.waiting:
            error, self.unreported = self.unreported, None
            raise error

    def was_replaced(self, request: Outgoing) -> None:
        """Raise an error in the pending call of `request()` if a newer message replaced its own before sending."""
        if request is self._pending.waiting:
            words = "the request was not sent: a newer message replaced it while there was no connection"
            self._messages.interrupt(self._problem(words))
