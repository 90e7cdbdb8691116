"""Fetching one file to disk: piece by piece, beside its target, and only whole under its name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeVar

import attrs

from fal_async.callbacks import call_back
from fal_async.config import Settings
from fal_async.errors import ApiError, DownloadError, TransportError
from fal_async.protocol.origins import host_of
from fal_async.protocol.retry import delay_before_retry
from fal_async.protocol.storage.downloads import (
    Progress,
    begin,
    check_url,
    download_request,
    is_complete,
    is_unmet_range,
    nothing_is_left,
)
from fal_async.protocol.storage.media import download_name, numbered, parse_data_uri
from fal_async.protocol.storage.uploads import is_cdn
from fal_async.storage.cdn import Cdn
from fal_async.storage.file_objects import PIECE
from fal_async.storage.sources import write_fully
from fal_async.storage.threads import in_thread, settled
from fal_async.transport import OpenResponse, Transport

DownloadProgress = Callable[[int, int | None], Awaitable[None] | None]
T = TypeVar("T")
_RESTRICTED = frozenset({401, 403, 404})
"""What a file that strangers may not read answers to them: 403, or 404 where it is hidden (protocol 7.4)."""


@attrs.frozen(kw_only=True)
class Target:
    """Where a download goes. Without a name it gets one that the server, or the output, suggests."""

    folder: Path
    name: str | None = None

    @classmethod
    def of(cls, to: str | os.PathLike[str]) -> Target:
        """A folder, if it is one or ends like one; else a file. Missing folders are made. Blocks."""
        path = Path(to)
        if path.is_dir() or os.fspath(to).endswith(("/", os.sep)):
            target = cls(folder=path)
        else:
            target = cls(folder=path.parent, name=path.name)
        target.folder.mkdir(parents=True, exist_ok=True)
        return target


class Downloader:
    def __init__(self, transport: Transport, settings: Settings, cdn: Cdn) -> None:
        self._transport, self._settings, self._cdn = transport, settings, cdn

    async def download(
        self,
        url: str,
        target: Target,
        *,
        suggested: str | None = None,
        on_progress: DownloadProgress | None = None,
    ) -> Path:
        """The path written. Under its own name a file is replaced; under a suggested one, never."""
        url = check_url(url)
        incoming = _Incoming(target.folder, on_progress)
        try:
            await incoming.open()
            if url[:5].lower() == "data:":
                await self._decode(url, incoming)
            else:
                await self._fetch(url, incoming)
            return await incoming.keep(target.name, download_name(url, incoming.headers, suggested))
        finally:
            await incoming.discard()

    async def _decode(self, url: str, incoming: _Incoming) -> None:
        try:
            data, content_type = await in_thread(partial(parse_data_uri, url))
        except ValueError as error:
            raise DownloadError(f"a data URI that can't be decoded: {error}") from error
        await incoming.go_on(Progress(total=len(data)), {"content-type": content_type})
        await incoming.write([data], len(data))
        await incoming.flush()

    async def _fetch(self, url: str, incoming: _Incoming) -> None:
        """Goes on with `Range` where the connection broke, as long as more arrives than ever before."""
        policy, idle, furthest = self._settings.retry, 0, 0
        authorization: str | None = None
        while True:
            try:
                if await self._once(url, incoming, authorization):
                    return
            except ApiError as error:
                if nothing_is_left(error.status, error.headers, incoming.progress):
                    return
                if is_unmet_range(error.status, incoming.progress):
                    incoming.distrust()
                elif authorization is None and self._may_be_ours(url, error):
                    authorization = (await self._cdn.token()).authorization
                else:
                    raise
            except TransportError as error:
                if not incoming.began:
                    raise  # the transport has tried often enough
                idle = 1 if incoming.progress.offset > furthest else idle + 1
                furthest = max(furthest, incoming.progress.offset)
                if idle >= policy.max_attempts:
                    raise
                await asyncio.sleep(delay_before_retry(policy, idle, error, random.random()) or 0.0)

    def _may_be_ours(self, url: str, error: ApiError) -> bool:
        """The owner's token reads what the ACL keeps from others (protocol 7.4)."""
        return error.status in _RESTRICTED and is_cdn(url, self._cdn.hosts)

    async def _once(self, url: str, incoming: _Incoming, authorization: str | None) -> bool:
        """False where the answer is not surely the rest of what is here: the next request asks for all of it."""
        incoming.began = False
        async with self._transport.open(download_request(url, incoming.progress, authorization)) as response:
            progress = begin(url, response.status, response.headers, incoming.progress)
            if progress is None:
                incoming.distrust()
                return False
            await incoming.go_on(progress, response.headers)
            await self._take(response, incoming)
        if not is_complete(incoming.progress):
            total = incoming.progress.total
            raise DownloadError(
                f"{host_of(url)} sent {incoming.progress.offset} bytes of a file of {total}", retryable=True
            )
        return True

    async def _take(self, response: OpenResponse, incoming: _Incoming) -> None:
        """Collected to larger pieces: a hop to a thread for each packet would cost more than the disk."""
        pieces: list[bytes] = []
        size = 0
        try:
            async with contextlib.aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    pieces.append(chunk)
                    size += len(chunk)
                    if size >= PIECE:
                        await incoming.write(pieces, size)
                        pieces, size = [], 0
        finally:
            await incoming.write(pieces, size)
            await incoming.flush()


class _Incoming:
    """A file that is not whole yet, under a name of its own beside its target."""

    def __init__(self, folder: Path, on_progress: DownloadProgress | None) -> None:
        self._path = folder / f".fal-{secrets.token_hex(8)}.part"
        self._file: FileIO | None = None
        self._writing: asyncio.Future[None] | None = None
        self._on_progress = on_progress
        self.progress = Progress()
        self.headers: Mapping[str, str] = {}
        """Of the answer whose body was taken last."""
        self.began = False
        """Whether the current answer's body had begun."""

    async def open(self) -> None:
        await self._on_disk(in_thread(self._create))

    def _create(self) -> None:
        self._file = FileIO(self._path, "xb")

    async def go_on(self, progress: Progress, headers: Mapping[str, str]) -> None:
        """Where the next answer's body belongs: after what is here, or in place of it."""
        file = self._file
        if progress.offset == 0 and self.progress.offset and file is not None:
            await self._on_disk(in_thread(lambda: (file.seek(0), file.truncate())))
        self.progress, self.headers, self.began = progress, headers, True

    def distrust(self) -> None:
        """What is here can't be gone on with: another version of the file may be at the URL by now."""
        self.progress = attrs.evolve(self.progress, validator=None)

    async def write(self, pieces: list[bytes], size: int) -> None:
        """Begins to; waits for the write before. So one piece goes to disk while the next one arrives."""
        await self.flush()
        if not size:
            return
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write_now, pieces))
        self.progress = attrs.evolve(self.progress, offset=self.progress.offset + size)
        await call_back(self._on_progress, self.progress.offset, self.progress.total)

    def _write_now(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            write_fully(self._file, piece)

    async def flush(self) -> None:
        """Until what was given to `write` is on disk."""
        writing = self._writing
        if writing is not None:
            try:
                await self._on_disk(settled(writing))
            finally:
                self._writing = None

    async def keep(self, name: str | None, suggested: str) -> Path:
        """Under `name`, in place of what was there; else under `suggested`, or that with a number."""
        await self._close()
        folder = self._path.parent
        if name is not None:
            await self._on_disk(in_thread(partial(self._path.replace, folder / name)))
            return folder / name
        return await self._on_disk(in_thread(partial(_keep_beside_others, self._path, folder, suggested)))

    async def discard(self) -> None:
        """Also where this task is cancelled once more meanwhile."""
        try:
            await self._close()
        finally:
            with contextlib.suppress(OSError):
                await in_thread(partial(self._path.unlink, missing_ok=True))

    async def _close(self) -> None:
        try:
            await self.flush()
        finally:
            file, self._file = self._file, None
            if file is not None:
                await self._on_disk(in_thread(file.close))

    async def _on_disk(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except OSError as error:
            folder = str(self._path.parent)
            raise DownloadError(f"can't write to {folder!r}: {error.strerror or error}") from error


def _keep_beside_others(path: Path, folder: Path, suggested: str) -> Path:
    number = 1
    while True:
        kept = folder / numbered(suggested, number)
        try:
            _claim(path, kept)
        except FileExistsError:
            number += 1
        else:
            return kept


def _claim(path: Path, kept: Path) -> None:
    """FileExistsError where the name is taken, by whomever: nothing is overwritten."""
    try:
        os.link(path, kept)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(kept, os.O_CREAT | os.O_EXCL))
        path.replace(kept)
    else:
        path.unlink()
