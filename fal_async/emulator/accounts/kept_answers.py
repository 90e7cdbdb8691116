"""Answers that are given again to a repeated `Idempotency-Key` (protocol 11, 11.7)."""

from __future__ import annotations

from fal_async.emulator.wire.answers import Answer

KeptName = tuple[str, str, str]
"""Account, path, and the value of the header."""
LIFETIME = 600.0
"""Seconds for which fal keeps an answer."""


class KeptAnswers:
    def __init__(self) -> None:
        self.kept: dict[KeptName, tuple[float, Answer]] = {}
        """Each answer with its end, in seconds since the epoch."""

    def find(self, name: KeptName, now: float) -> Answer | None:
        """Return the answer that was kept under a name less than 10 minutes ago, or None; `now` in seconds."""
        until, answer = self.kept.get(name, (now, None))
        return answer if until > now else None

    def keep(self, name: KeptName, answer: Answer, now: float) -> None:
        """Keep an answer from now on, and forget those whose time is over."""
        self.kept = {other: kept for other, kept in self.kept.items() if kept[0] > now}
        self.kept[name] = now + LIFETIME, answer
