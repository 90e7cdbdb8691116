"""The resources of a session, and shortcuts for their most used methods.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Unpack

from fal_async.errors import short_tracebacks
from fal_async.models import In, Out
from fal_async.options import QueueOptions, documented
from fal_async.protocol.endpoint import Endpoint
from fal_async.protocol.storage.multipart import MULTIPART_ABOVE, PARALLEL, PART_SIZE
from fal_async.session.view import View
from fal_async.storage_settings import StorageSettings

if TYPE_CHECKING:
    from fal_async.platform import Platform
    from fal_async.protocol.ledger.decisions import Uncertain
    from fal_async.protocol.storage.multipart import UploadState
    from fal_async.queue import Queue, RequestHandle
    from fal_async.realtime import Realtime
    from fal_async.storage import Storage
    from fal_async.storage.file_body import ProgressCallback
    from fal_async.webhooks import Webhooks


@short_tracebacks
class Resources:
    """The resources of `Session`."""

    _view: View

    @documented(QueueOptions)
    async def submit(
        self,
        endpoint_id: str | Endpoint[In, Out],
        input: In | None = None,
        *,
        path: str = "",
        webhook_url: str | None = None,
        key: str | None = None,
        run: str = "",
        uncertain: Uncertain = "lookup",
        **options: Unpack[QueueOptions],
    ) -> RequestHandle[Out]:
        """Put a request into fal's queue and return its handle (protocol 4.1); the same as `queue.submit`.

        Cancelling is safe: the call waits up to 3 seconds for the request id and cancels the request on fal, which
        would otherwise run although its id is unknown. With a `key` the request keeps running instead.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`, or an `Endpoint`.
            input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec Struct. Files in it are
                uploaded first (see `storage.transform_input`). None (default): an empty input.
            path: added to the endpoint id, unless the id ends with it; default "".
            webhook_url: a URL that fal calls when the request is completed (protocol 8). None (default): no URL.
            key: an idempotency key, a `str` of 1-255 characters; requires `Session(ledger=...)`. If the ledger has
                a request under this key, even a completed one, its handle is returned and nothing is submitted; see
                `subscribe`. None (default): no key.
            run: the namespace of the key; default "".
            uncertain: what to do if it is unknown whether fal accepted an earlier submit with this key: "lookup"
                (default), "report" or "resubmit"; see `subscribe`.
            **options: see `CallOptions`. `retry` also applies to following the request through its handle.

        Returns:
            The handle of the request.

        Raises:
            ConfigurationError: an invalid argument, a `key` without a ledger, or no API key. Nothing was sent.
            TypeError: an unknown argument; the message suggests the one that was probably meant.
            ApiError: fal refused the request; see its subclasses.
            SubmissionUncertainError: fal may have accepted the request; it is not sent again. See
                `queue.find_submission`.
            TransportError: fal certainly did not accept the request.
            UploadError: a file in the input could not be uploaded.
            KeyConflictError: the key belongs to another endpoint or input. Nothing was sent.
            LedgerError: the ledger can't be read or written. Nothing was sent.
            SessionStateError: the session is closed, or was closed during the call.
        """
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
        # The file.
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
        """Store a file at fal and return its URL (protocol 7); the same as `storage.upload`.

        Large files need little memory, because each part is read when it is sent. Cancelling is safe and stops the
        upload at once.

        Args:
            file: a path (a `str` or any `os.PathLike`; `~` is the home folder), bytes, a binary file object, an
                object with a `read` method (async or not), an async iterable of bytes, a Pillow image (sent as PNG)
                or a `File`. A file object is read from its position, or from its beginning if it is at its end.
            content_type: such as "image/png". None (default): the type of the name's suffix, unless the content
                clearly shows another type; see `storage.upload`.
            file_name: the name under which fal stores the file. None (default): the name of the path or of the file
                object.
            size: the size in bytes that the file must have, if you know it. It is compared with the real size
                before anything is sent. None (default): not checked.
            lifecycle: how long the file is kept and who may read it (protocol 7.4). None (default): the account's
                settings.
            on_progress: a function, async or not, that is called with the bytes sent and the total bytes. The first
                number never decreases. None (default): no function.
            resume: a path or an `UploadState` that stores the state of a large upload, so that the same call
                continues with the missing parts after a crash or a cancellation. The state is deleted when the
                upload is complete. None (default): the upload can't be resumed.
            multipart_above: files larger than this many bytes are sent in parts; default 100 MiB.
            part_size: bytes per part; default 10 MiB, more if the file would need over 10,000 parts.
            parallel: maximum number of parts sent at a time; default 8.

        Returns:
            The URL of the stored file.

        Raises:
            UploadError: the file can't be read, is empty or changes during the upload, or fal does not accept it.
            ConfigurationError: an invalid option, or `file` is not a file. Nothing was sent.
            AuthenticationError: fal does not know the key.
            PermissionDeniedError: the key may not upload.
            SessionStateError: the session is closed, or was closed during the upload.
        """
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
        """The operations of the queue, one at a time: submit, status, updates, result, cancel, handle."""
        return self._view.queue

    @property
    def realtime(self) -> Realtime:
        """Realtime connections: `async with fal.realtime.connect("fal-ai/...") as connection:`."""
        return self._view.realtime

    @property
    def storage(self) -> Storage:
        """File storage: upload and download files, and control who may read them."""
        return self._view.storage

    @property
    def platform(self) -> Platform:
        """The platform API: models, prices, usage, billing, past requests, keys, account, workflows."""
        return self._view.platform

    @property
    def webhooks(self) -> Webhooks:
        """Webhook deliveries: verify them, or attach a receiver. Shared by the session and all of its views."""
        return self._view.webhooks
