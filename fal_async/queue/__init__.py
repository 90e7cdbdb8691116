"""The queue: `client` and `handle` are what users see, `operations` does the work on a request's `state`."""

from __future__ import annotations

from fal_async.queue.client import Queue
from fal_async.queue.handle import RequestHandle
from fal_async.queue.operations import EnqueueCallback, UpdateCallback

__all__ = ["EnqueueCallback", "Queue", "RequestHandle", "UpdateCallback"]
