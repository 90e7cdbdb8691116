"""Answers that are given again to a repeated `Idempotency-Key` (protocol 11, 11.7)."""

from __future__ import annotations

from collections.abc import Hashable

from fal_async.emulator.wire.answers import Answer

LIFETIME = 600.0
"""Seconds for which fal keeps an answer."""


class KeptAnswers:
    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, Answer]] = {}

    def find(self, name: Hashable, now: float) -> Answer | None:
        """Return the answer that was kept under a name less than 10 minutes ago, or None; `now` in seconds."""
        until, answer = self._kept.get(name, (now, None))
        return answer if until > now else None

    def keep(self, name: Hashable, answer: Answer, now: float) -> None:
        """Keep an answer from now on, and forget those whose time is over."""
        self._kept = {other: kept for other, kept in self._kept.items() if kept[0] > now}
        self._kept[name] = now + LIFETIME, answer
