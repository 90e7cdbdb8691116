"""Download one file into a temporary file in the target's folder, which gets its final name when it is complete."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from fal_async.config import Settings
from fal_async.errors import ApiError, DownloadError, TransportError
from fal_async.protocol.origins import host_of
from fal_async.protocol.retry import delay_before_retry
from fal_async.protocol.storage.download_names import Arrived, check_is_no_page, download_name
from fal_async.protocol.storage.downloads import (
    Progress,
    begin,
    check_url,
    download_request,
    is_complete,
    is_unmet_range,
    nothing_is_left,
)
from fal_async.protocol.storage.media import parse_data_uri
from fal_async.protocol.storage.uploads import is_cdn
from fal_async.storage.cdn import Cdn
from fal_async.storage.destination import Target
from fal_async.storage.file_objects import PIECE
from fal_async.storage.incoming import DownloadProgress, Incoming
from fal_async.storage.threads import in_thread
from fal_async.transport import OpenResponse, Transport

_RESTRICTED = frozenset({401, 403, 404})
"""Statuses of a restricted file without the owner's token: 403, or 404 if it is hidden (protocol 7.4)."""


class Downloader:
    def __init__(self, transport: Transport, settings: Settings, cdn: Cdn) -> None:
        self._transport, self._settings, self._cdn = transport, settings, cdn

    async def download(
        self, url: str, target: Target, *, on_progress: DownloadProgress | None = None
    ) -> Path:
        """Download to `target` and return the path. Replaces a file only if the caller chose the name."""
        async with self.fetched(url, target.folder, on_progress=on_progress) as incoming:
            arrived = Arrived(url=url, headers=incoming.headers, head=incoming.head)
            check_is_no_page(arrived, target.name)
            if target.name is not None:
                return await incoming.keep_as(target.name)
            return await incoming.keep_beside(download_name(arrived), set())

    @contextlib.asynccontextmanager
    async def fetched(
        self, url: str, folder: Path, *, on_progress: DownloadProgress | None = None
    ) -> AsyncIterator[Incoming]:
        """Yield the complete file. It is deleted after the block unless it was kept under a name."""
        url = check_url(url)
        incoming = Incoming(folder, on_progress)
        try:
            await incoming.open()
            await (self._decode(url, incoming) if url[:5].lower() == "data:" else self._fetch(url, incoming))
            await incoming.finish()
            yield incoming
        finally:
            await incoming.discard()

    async def _decode(self, url: str, incoming: Incoming) -> None:
        try:
            data, content_type = await in_thread(partial(parse_data_uri, url))
        except ValueError as error:
            raise DownloadError(f"the data URI can't be decoded: {error}") from error
        await incoming.prepare(Progress(total=len(data)), {"content-type": content_type})
        await incoming.write([data], len(data))
        await incoming.flush()

    async def _fetch(self, url: str, incoming: Incoming) -> None:
        """Fetch `url`, and resume with `Range` after a broken connection.

        Raises the last error after `max_attempts` attempts in a row that received no further bytes.
        """
        policy, idle, furthest = self._settings.retry, 0, 0
        authorization: str | None = None
        while True:
            try:
                if await self._request(url, incoming, authorization):
                    return
            except ApiError as error:
                if error.from_caller:
                    raise  # raised by `on_progress`, not the server's answer
                if nothing_is_left(error.status, error.headers, incoming.progress):
                    return
                if is_unmet_range(error.status, incoming.progress):
                    incoming.drop_validator()
                elif authorization is None and self._may_be_ours(url, error):
                    authorization = (await self._cdn.token()).authorization
                else:
                    raise
            except TransportError as error:
                if error.from_caller or not incoming.has_begun:
                    raise  # no body had begun, and the transport has already retried
                idle = 1 if incoming.progress.offset > furthest else idle + 1
                furthest = max(furthest, incoming.progress.offset)
                if idle >= policy.max_attempts:
                    raise
                await asyncio.sleep(delay_before_retry(policy, idle, error, random.random()) or 0.0)

    def _may_be_ours(self, url: str, error: ApiError) -> bool:
        """Return whether to retry with this account's token: the file's rules may refuse others (protocol 7.4)."""
        return error.status in _RESTRICTED and is_cdn(url, self._cdn.hosts)

    async def _request(self, url: str, incoming: Incoming, authorization: str | None) -> bool:
        """Send one HTTP request and write its body.

        Returns False if the response does not continue the bytes on disk, so that the next HTTP request must fetch
        the whole file.
        """
        incoming.has_begun = False
        async with self._transport.open(download_request(url, incoming.progress, authorization)) as response:
            progress = begin(url, response.status, response.headers, incoming.progress)
            if progress is None:
                incoming.drop_validator()
                return False
            await incoming.prepare(progress, response.headers)
            await self._take(response, incoming)
        if not is_complete(incoming.progress):
            total = incoming.progress.total
            raise DownloadError(
                f"{host_of(url)} sent {incoming.progress.offset} of {total} bytes", retryable=True
            )
        return True

    async def _take(self, response: OpenResponse, incoming: Incoming) -> None:
        """Write the body in large pieces: one thread hop per packet would cost more than the disk."""
        pieces: list[bytes] = []
        size = 0
        try:
            async with contextlib.aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    pieces.append(chunk)
                    size += len(chunk)
                    if size >= PIECE:
                        # Emptied first: `on_progress` may raise, and `finally` must not write them again.
                        (full, length), (pieces, size) = (pieces, size), ([], 0)
                        await incoming.write(full, length)
        finally:
            await incoming.write(pieces, size)
            await incoming.flush()
