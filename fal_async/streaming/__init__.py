"""Streams: what a model sends while it works. `event_stream` is what users see, `source` reads the body."""

from __future__ import annotations

from fal_async.streaming.event_stream import Beginning, EventStream

__all__ = ["Beginning", "EventStream"]
