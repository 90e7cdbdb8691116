"""What a kind of fault can do to a request: hooks, none of which changes anything unless a kind says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import attrs

from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.routing import OPERATIONS

EVERYWHERE = frozenset(OPERATIONS)


@attrs.frozen
class Span:
    """So many bytes of a body, then `pause` seconds, then, with `cut`, the end of the connection."""

    length: int
    pause: float = 0.0
    cut: bool = False


@attrs.frozen
class Piece:
    """Of a stream: write `data`, wait `pause` seconds, then, with `end`, end: "reset", "close" or "in order"."""

    data: bytes = b""
    pause: float = 0.0
    end: str | None = None


@attrs.frozen
class Step:
    """Of a session: send `frame`, be silent for `pause` seconds, then, with `end`, end.

    `end`: "reset", "close" (the connection), "torn" (`frame` goes out by half first), or a close code.
    """

    frame: str | bytes | None = None
    pause: float = 0.0
    end: str | int | None = None
    reason: str = ""


@attrs.frozen(kw_only=True)
class Effect:
    """The base of all kinds. A kind's fields are those of `Fault` that mean something to it.

    A field has a default here only where the kind's default is not that of `Fault`.
    """

    kind: ClassVar[str] = ""
    operations: ClassVar[frozenset[str]] = EVERYWHERE
    """Where it can change what the caller sees."""
    ending: ClassVar[str | None] = None
    """How the connection ends in place of an answer: "reset" or "close"."""
    read_share: ClassVar[float] = 0.5
    """How much of an upload is read where the request is not executed."""
    spoils_files: ClassVar[bool] = False
    """Whether it changes the bytes of a file: then the file is read whole, and sent without ranges."""
    overtaken: ClassVar[bool] = False
    """Whether the answer waits until the job has ended, and its webhook was tried."""
    copies: ClassVar[int] = 1
    """How often each value of a stream or a session is sent."""

    @classmethod
    def knows(cls, operation: str) -> bool:
        return operation in cls.operations

    # The whole request.

    @property
    def away(self) -> float | None:
        """Seconds for which the server itself goes away."""
        return None

    @property
    def silence(self) -> float:
        """Seconds of silence before the headers."""
        return 0.0

    def executes(self, *, piecemeal: bool) -> bool:
        """Whether the request does its work although something goes wrong with it.

        `piecemeal`: its answer is sent bit by bit while it works, so that none can take its place.
        """
        return True

    # Its answer.

    def instead(self, request_id: str | None) -> Answer | None:
        """What is answered in place of the truth."""
        return None

    def spoil(self, answer: Answer) -> Answer:
        """The true answer, its content changed. Of a stream, and of most files: the headers only."""
        return answer

    def in_body(self, size: int) -> Iterable[Span] | None:
        """How a body of `size` bytes is sent. None: at once."""
        return None

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        """An event of a status stream, but for the last one: COMPLETED stays true."""
        return document

    # Streams and sessions.

    def strikes(self, number: int) -> bool:
        """Whether `in_stream` and `in_session` are asked about value `number`, counted from 1.

        0 stands for the moment after the headers, or after the handshake.
        """
        return False

    def value(self, value: Any) -> Any:
        """Any value of a stream or a session."""
        return value

    def in_stream(self, data: bytes) -> list[Piece]:
        """What is sent for an event, or for a chunk of a binary body. Of a status stream: the first event."""
        return [Piece(data)]

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        """What is sent in place of a message, `plain`; none is in it before the first."""
        return plain


NO_EFFECT = Effect()
"""Of a request that nothing goes wrong with."""


@attrs.frozen(kw_only=True)
class InTheMiddle(Effect):
    """A kind that strikes a stream or a session once, after so many events or messages."""

    events: int

    def strikes(self, number: int) -> bool:
        return number == self.events
