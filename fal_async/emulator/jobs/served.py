"""What the queue knows of what it serves: an endpoint's, or a mounted application's, name and terms."""

from __future__ import annotations

import attrs

from fal_async.emulator.wire.routing import app_id


@attrs.frozen(kw_only=True, eq=False)
class Served:
    """What the queue knows of an endpoint, or of a mounted application: who runs it, and on what terms."""

    endpoint_id: str
    runners: int
    """How many requests run at a time; the others wait."""
    public: bool = False
    """A public endpoint needs no key (protocol 1.2)."""
    ignores_cancel: bool = False
    """An app that ignores the signal runs on and completes normally (protocol 4.5)."""
    log_window: int | None = None
    """Only the last so many entries are shown: logs are a moving window (protocol 4.2). None: all."""
    log_labels: bool = False
    """Log entries with `labels: {level, source}`, as the Swift and Java clients expect (protocol 4.2)."""
    billable_units: float = 1

    @property
    def app_id(self) -> str:
        return app_id(self.endpoint_id)


def check_runners(count: int) -> None:
    if count < 1:
        raise ValueError(f"runners must be 1 or more, not {count}")
