"""Kinds of fault in the connection: it is refused, broken, silent or slow."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import ClassVar

import attrs

from fal_async.emulator.faults.effect import EVERYWHERE, Effect, InTheMiddle, Piece, Span, Step
from fal_async.emulator.wire.sse import cut_in_character, cut_in_event


@attrs.frozen(kw_only=True)
class Refuse(Effect):
    kind = "refuse"
    ending: ClassVar[str | None] = "reset"
    read_share: ClassVar[float] = 0.0

    seconds: float

    @property
    def away(self) -> float | None:
        return self.seconds

    def executes(self, *, piecemeal: bool) -> bool:
        return False


@attrs.frozen(kw_only=True)
class _Broken(InTheMiddle):
    """`taken`: whether the request is executed; a stream or a session is, until `events` values are sent."""

    taken: bool

    def executes(self, *, piecemeal: bool) -> bool:
        return self.taken

    def in_stream(self, data: bytes) -> list[Piece]:
        return [Piece(data, end=self.ending)]

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        return [*plain, Step(end=self.ending)]


class Reset(_Broken):
    kind = "reset"
    ending: ClassVar[str | None] = "reset"


class Close(_Broken):
    kind = "close"
    ending: ClassVar[str | None] = "close"


@attrs.frozen(kw_only=True)
class Stall(InTheMiddle):
    kind = "stall"

    taken: bool = True
    seconds: float
    where: str

    def __attrs_post_init__(self) -> None:
        if self.where == "body" and not self.taken:
            raise ValueError(
                "where='body', taken=False: a request that is not executed has no body; expected taken=True, or "
                "where='headers'"
            )

    @property
    def silence(self) -> float:
        return self.seconds if self.where == "headers" else 0.0

    def executes(self, *, piecemeal: bool) -> bool:
        return self.taken

    def in_body(self, size: int) -> Iterable[Span] | None:
        if self.where == "headers":
            return None
        return [Span(size // 2, self.seconds), Span(size - size // 2)]

    def in_stream(self, data: bytes) -> list[Piece]:
        return [Piece(data, self.seconds if self.where == "body" else 0.0)]

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        return [*plain, Step(pause=self.seconds)] if self.where == "body" else plain


@attrs.frozen(kw_only=True)
class Drip(Effect):
    kind = "drip"
    # A session sends whole frames, so there can be no pause between their bytes.
    operations: ClassVar[frozenset[str]] = EVERYWHERE - {"realtime"}

    seconds: float

    def in_body(self, size: int) -> Iterable[Span] | None:
        return repeat(Span(1, self.seconds), size)

    def applies_to(self, number: int) -> bool:
        return True

    def in_stream(self, data: bytes) -> list[Piece]:
        return [Piece(data[at : at + 1], self.seconds) for at in range(len(data))]


@attrs.frozen(kw_only=True)
class Truncate(InTheMiddle):
    kind = "truncate"

    cut: str

    def in_body(self, size: int) -> Iterable[Span] | None:
        return [Span(size // 2, cut=True)]

    def in_stream(self, data: bytes) -> list[Piece]:
        rest = cut_in_character(data) if self.cut == "character" else cut_in_event(data)
        return [Piece(rest, end="normal" if self.cut == "clean" else "close")]

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        return [Step(plain[0].frame, end="torn")] if plain else plain


class Overtaken(Effect):
    kind = "overtaken"
    operations: ClassVar[frozenset[str]] = frozenset({"submit"})
    overtaken: ClassVar[bool] = True
