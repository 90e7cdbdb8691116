"""Streams: what a model sends while it works. `event_stream` is their face, `source` reads the answer's body."""

from __future__ import annotations

from fal_async.streaming.event_stream import Beginning, EventStream

__all__ = ["Beginning", "EventStream"]
