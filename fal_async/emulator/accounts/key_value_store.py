"""The texts of kv.fal.media (protocol 7.7)."""

from __future__ import annotations

import attrs

Place = tuple[str, str, str]
"""Account, database and key."""
LIFETIMES = range(60, 2_592_001)
"""Seconds; the longest, 30 days, is the default."""


@attrs.frozen
class KeyValueStore:
    values: dict[Place, tuple[str, float]] = attrs.field(factory=dict, repr=False)
    """Each text with its end, in seconds since the epoch."""

    def set(self, place: Place, value: str, expires_at: float) -> None:
        """Store a text until a time, in seconds since the epoch."""
        self.values[place] = value, expires_at

    def get(self, place: Place, now: float) -> str | None:
        value, expires_at = self.values.get(place, ("", now))
        if expires_at <= now:
            self.delete(place)
            return None
        return value

    def delete(self, place: Place) -> None:
        self.values.pop(place, None)
