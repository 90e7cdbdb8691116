"""Streams: the values that a model sends while it works.

`event_stream` has the class that users see, and `source` reads the response's body.
"""

from __future__ import annotations

from fal_async.streaming.event_stream import Beginning, EventStream

__all__ = ["Beginning", "EventStream"]
