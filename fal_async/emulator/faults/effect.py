"""What a kind of fault can do to a request: hooks that change nothing unless a kind overrides them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import attrs

from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.routing import OPERATIONS

EVERYWHERE = frozenset(OPERATIONS)


@attrs.frozen
class Span:
    """Bytes of a body, then a pause, then perhaps the end.

    Attributes:
        length: number of bytes.
        pause: seconds after them; default 0.
        cut: True closes the connection after the pause.
    """

    length: int
    pause: float = 0.0
    cut: bool = False


@attrs.frozen
class Piece:
    """Bytes of a stream, then a pause, then perhaps the end.

    Attributes:
        data: the bytes.
        pause: seconds after them; default 0.
        end: how the stream ends then: "reset", "close" or "in order". None (default): it goes on.
    """

    data: bytes = b""
    pause: float = 0.0
    end: str | None = None


@attrs.frozen
class Step:
    """A frame of a session, then a silence, then perhaps the end.

    Attributes:
        frame: the frame. None (default): none.
        pause: seconds of silence after it; default 0.
        end: how the session ends then: "reset" or "close" (the connection), "torn" (only half of `frame` is sent),
            or a close code. None (default): it goes on.
        reason: the close reason; default empty.
    """

    frame: str | bytes | None = None
    pause: float = 0.0
    end: str | int | None = None
    reason: str = ""


@attrs.frozen(kw_only=True)
class Effect:
    """Base class of all kinds of fault, with the hooks that a kind overrides.

    The fields of a kind are those of `Fault` that it uses. A field has a default only if it differs from the
    default in `Fault`.
    """

    kind: ClassVar[str] = ""
    operations: ClassVar[frozenset[str]] = EVERYWHERE
    """The operations that it can change."""
    ending: ClassVar[str | None] = None
    """How the connection ends in place of an answer: "reset" or "close"; None: it does not."""
    read_share: ClassVar[float] = 0.5
    """Share of an upload that is read if the request is not executed, 0 to 1."""
    spoils_files: ClassVar[bool] = False
    """Whether it changes the bytes of a file, which is then read whole and sent without ranges."""
    overtaken: ClassVar[bool] = False
    """Whether the answer waits until the job has ended and its webhook was tried."""
    copies: ClassVar[int] = 1
    """How often each value of a stream or a session is sent."""

    @classmethod
    def knows(cls, operation: str) -> bool:
        """Return whether this kind can change an operation.

        Args:
            operation: its name, such as "submit".
        """
        return operation in cls.operations

    # The whole request.

    @property
    def away(self) -> float | None:
        """Seconds for which the server goes away; None: it does not."""
        return None

    @property
    def silence(self) -> float:
        """Seconds of silence before the headers."""
        return 0.0

    def executes(self, *, piecemeal: bool) -> bool:
        """Return whether the request is executed although it is struck.

        Args:
            piecemeal: whether its answer is sent while it works, so that no other answer can take its place.
        """
        return True

    # Its answer.

    def instead(self, request_id: str | None) -> Answer | None:
        """Return the answer that takes the place of the real one, or None.

        Args:
            request_id: the request id of the call, or None.
        """
        return None

    def spoil(self, answer: Answer) -> Answer:
        """Return the real answer with changes.

        Args:
            answer: the real answer; of a stream, and of most files, only the headers.
        """
        return answer

    def in_body(self, size: int) -> Iterable[Span] | None:
        """Return how a body is sent, or None to send it at once.

        Args:
            size: its bytes.
        """
        return None

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return an event of a status stream with changes. COMPLETED, the last one, is never changed.

        Args:
            document: the event.
        """
        return document

    # Streams and sessions.

    def strikes(self, number: int) -> bool:
        """Return whether `in_stream` and `in_session` are asked about a value.

        Args:
            number: number of the value, from 1; 0 is the moment after the headers or the handshake.
        """
        return False

    def value(self, value: Any) -> Any:
        """Return a value of a stream or a session with changes.

        Args:
            value: the value.
        """
        return value

    def in_stream(self, data: bytes) -> list[Piece]:
        """Return what is sent for an event, or for a chunk of a binary body.

        Args:
            data: the event or chunk; of a status stream, always its first event.
        """
        return [Piece(data)]

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        """Return what is sent for a message.

        Args:
            plain: the message; empty before the first.
            codec: how the session encodes messages: "msgpack", "json" or "raw".
        """
        return plain


NO_EFFECT = Effect()
"""The effect on a call without a fault."""


@attrs.frozen(kw_only=True)
class InTheMiddle(Effect):
    """A kind that strikes a stream or a session once, after `events` events or messages."""

    events: int

    def strikes(self, number: int) -> bool:
        return number == self.events
