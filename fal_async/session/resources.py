"""What a session gives beside its calls: its resources, and the short forms of what they do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Unpack

from fal_async.errors import short_tracebacks
from fal_async.options import QueueOptions, documented
from fal_async.protocol.storage.multipart import MULTIPART_ABOVE, PARALLEL, PART_SIZE
from fal_async.session.view import View
from fal_async.storage_settings import StorageSettings

if TYPE_CHECKING:
    from fal_async.protocol.ledger.decisions import Uncertain
    from fal_async.protocol.storage.multipart import UploadState
    from fal_async.queue import Queue, RequestHandle
    from fal_async.realtime import Realtime
    from fal_async.storage import Storage
    from fal_async.storage.file_body import ProgressCallback
    from fal_async.webhooks import Webhooks


@short_tracebacks
class Resources:
    """What `Session` has of one view."""

    _view: View

    @documented(QueueOptions)
    async def submit(
        self,
        endpoint_id: str,
        input: Any = None,
        *,
        path: str = "",
        webhook_url: str | None = None,
        key: str | None = None,
        run: str = "",
        uncertain: Uncertain = "lookup",
        **options: Unpack[QueueOptions],
    ) -> RequestHandle:
        """Put a request into the queue and give its handle: the same as `queue.submit`."""
        return await self.queue.submit(
            endpoint_id,
            input,
            path=path,
            webhook_url=webhook_url,
            key=key,
            run=run,
            uncertain=uncertain,
            **options,
        )

    async def upload(
        self,
        file: Any,
        *,
        # What it is.
        content_type: str | None = None,
        file_name: str | None = None,
        size: int | None = None,
        lifecycle: StorageSettings | None = None,
        # How it is sent.
        on_progress: ProgressCallback | None = None,
        resume: str | os.PathLike[str] | UploadState | None = None,
        multipart_above: int = MULTIPART_ABOVE,
        part_size: int = PART_SIZE,
        parallel: int = PARALLEL,
    ) -> str:
        """Store a file at fal; gives its URL: the same as `storage.upload`."""
        return await self.storage.upload(
            file,
            content_type=content_type,
            file_name=file_name,
            size=size,
            lifecycle=lifecycle,
            on_progress=on_progress,
            resume=resume,
            multipart_above=multipart_above,
            part_size=part_size,
            parallel=parallel,
        )

    @property
    def queue(self) -> Queue:
        """The queue's operations one by one: submit, status, updates, result, cancel, handle."""
        return self._view.queue

    @property
    def realtime(self) -> Realtime:
        """Conversations over a WebSocket: `async with fal.realtime.connect("fal-ai/...") as connection:`."""
        return self._view.realtime

    @property
    def storage(self) -> Storage:
        """Files to fal and from fal: upload, download, and who may read them."""
        return self._view.storage

    @property
    def webhooks(self) -> Webhooks:
        """Deliveries from fal: verify them, or attach a receiver. One for the session and all of its views."""
        return self._view.webhooks
