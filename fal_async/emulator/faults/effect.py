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
    """Bytes of a body, then a pause, after which the connection may be closed.

    Attributes:
        length: number of bytes.
        pause: seconds after the bytes; default 0.
        cut: whether the connection is closed after the pause; default False.
    """

    length: int
    pause: float = 0.0
    cut: bool = False


@attrs.frozen
class Piece:
    """Bytes of a stream, then a pause, after which the stream may end.

    Attributes:
        data: the bytes.
        pause: seconds after the bytes; default 0.
        end: how the stream ends after the pause: "reset" or "close" (the connection), or "normal" (the body, as
            HTTP). None (default): the stream continues.
    """

    data: bytes = b""
    pause: float = 0.0
    end: str | None = None


@attrs.frozen
class Step:
    """A frame of a session, then a silence, after which the session may end.

    Attributes:
        frame: the frame. None (default): none.
        pause: seconds of silence after the frame; default 0.
        end: how the session ends after the silence: "reset" or "close" (the connection), "torn" (only half of
            `frame` is sent), or a close code. None (default): the session continues.
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
    """The operations that this kind can change."""
    ending: ClassVar[str | None] = None
    """How the connection ends in place of an answer: "reset" or "close". None: the answer is sent."""
    read_share: ClassVar[float] = 0.5
    """Share of an upload that is read if the request is not executed, 0 to 1."""
    spoils_files: ClassVar[bool] = False
    """Whether this kind changes the bytes of a file, which is then read whole and sent without ranges."""
    overtaken: ClassVar[bool] = False
    """Whether the answer is delayed until the job is completed and its webhook was tried."""
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
        """Seconds for which the emulator refuses connections. None: it keeps listening."""
        return None

    @property
    def silence(self) -> float:
        """Seconds of silence before the headers."""
        return 0.0

    def executes(self, *, piecemeal: bool) -> bool:
        """Return whether the request is executed although the fault applies to it.

        Args:
            piecemeal: whether its answer is sent while the model works, so that it can't be replaced afterwards.
        """
        return True

    # The answer of a request.

    def instead(self, request_id: str | None) -> Answer | None:
        """Return the answer that replaces the real one, or None to send the real one.

        Args:
            request_id: the request id of the call, or None.
        """
        return None

    @property
    def verbatim(self) -> bool:
        """Whether the answer of `instead` has a body that the test wrote, so that nothing else is made of it."""
        return False

    def spoil(self, answer: Answer) -> Answer:
        """Return the real answer with changes.

        Args:
            answer: the real answer; for a stream, and for most files, without the body.
        """
        return answer

    def in_body(self, size: int) -> Iterable[Span] | None:
        """Return how a body is sent, or None to send it at once.

        Args:
            size: number of bytes of the body.
        """
        return None

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return an event of a status stream with changes. COMPLETED, the last one, is never changed.

        Args:
            document: the event.
        """
        return document

    # Streams and sessions.

    def applies_to(self, number: int) -> bool:
        """Return whether `in_stream` and `in_session` are called for a value.

        Args:
            number: number of the value, from 1; 0 stands for the time between the headers, or the handshake, and
                the first value.
        """
        return False

    def value(self, value: Any) -> Any:
        """Return a value of a stream or a session with changes.

        Args:
            value: the value.
        """
        return value

    def in_stream(self, data: bytes) -> list[Piece]:
        """Return the pieces that are sent for an event, or for a chunk of a binary body.

        Args:
            data: the event or chunk, empty for number 0; of a status stream, always its first event.
        """
        return [Piece(data)]

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        """Return the steps that are sent for a message.

        Args:
            plain: the message as a step; empty for number 0.
            codec: how the session encodes messages: "msgpack", "json" or "raw".
        """
        return plain


NO_EFFECT = Effect()
"""The effect on a call without a fault."""


@attrs.frozen(kw_only=True)
class InTheMiddle(Effect):
    """A kind that applies to a stream or a session once: at or after event or message number `events`."""

    events: int

    def applies_to(self, number: int) -> bool:
        return number == self.events
