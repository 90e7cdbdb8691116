"""`session.storage`: files to fal and from fal (protocol 7, 11.2)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fal_async.checks import check_flag, check_function, check_int
from fal_async.config import Settings
from fal_async.errors import UploadError, short_tracebacks
from fal_async.outputs.output_files import FileNames, OutputFile
from fal_async.protocol.storage import access
from fal_async.protocol.storage.download_names import check_files
from fal_async.protocol.storage.downloads import check_url
from fal_async.protocol.storage.input_files import File, find_files, place_of, replace_files
from fal_async.protocol.storage.media import (
    HEAD,
    data_uri,
    guess_content_type,
)
from fal_async.protocol.storage.multipart import (
    MULTIPART_ABOVE,
    PARALLEL,
    PART_SIZE,
    UploadState,
)
from fal_async.protocol.storage.uploads import CdnToken, lifecycle_text
from fal_async.single_flight import SingleFlight
from fal_async.storage.cdn import Cdn
from fal_async.storage.concurrency import gather_first_error
from fal_async.storage.destination import folder_of, target_of
from fal_async.storage.download import Downloader
from fal_async.storage.file_body import Meter, ProgressCallback
from fal_async.storage.file_specs import spec_of
from fal_async.storage.incoming import DownloadProgress
from fal_async.storage.output_download import FILES_AT_A_TIME, OutputDownload
from fal_async.storage.resume_store import resume_store_of
from fal_async.storage.sources import Source, opened
from fal_async.storage.threads import abandonable
from fal_async.storage.upload import Uploader, UploadPlan
from fal_async.storage_settings import StorageSettings
from fal_async.transport import Transport

B = TypeVar("B")


@short_tracebacks
class Storage:
    """Uploads and downloads of a session."""

    def __init__(self, transport: Transport, settings: Settings, tokens: SingleFlight[CdnToken]) -> None:
        self._transport, self._hosts = transport, settings.hosts
        cdn = Cdn(transport, settings.hosts, tokens)
        self._uploader = Uploader(transport, settings, cdn)
        self._downloader = Downloader(transport, settings, cdn)

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
        """Store a file at fal; gives its URL. Memory stays small whatever the size: parts are read as they go.

        Args:
            file: a path (a text or any `os.PathLike`; `~` is the home folder), bytes, a binary file object, what
                has a `read` (async or not, with a size or without), an async iterable of bytes, a Pillow image
                (sent as PNG) or a `File`.
                A file object is read from its position on; from its beginning where it stands at its end. What
                can't be read twice (a pipe, an iterable) is copied to a temporary file.
            content_type: by default from the name, else from the content.
            file_name: by default the path's or the file object's.
            size: bytes that an async iterable is to have, checked before anything is sent.
            lifecycle: how long it lives, who may read it; by default the account's settings.
            on_progress: called with bytes sent and bytes in all; never goes back. May be async.
            resume: a path or an `UploadState` where the state of a large upload is kept, so that the same call
                continues with the missing parts after a crash or a cancellation. Gone once it is done.
            multipart_above: larger files go in parts; default 100 MiB.
            part_size: bytes; default 10 MiB, more where the file would need over 10,000 parts.
            parallel: parts under way at a time; default 8.

        Raises:
            UploadError: the file can't be read (whatever its `read` raises), is empty or changes meanwhile, or
                fal does not take it.
            ConfigurationError: a wrong option, or no file at all; nothing was sent.
            AuthenticationError, PermissionDeniedError: the key is not accepted.

        A cancelled upload ends at once, also where its file is silent: a `read` that hangs is left to its thread,
        and the file object is not read again before that one has come back.
        """
        check_function("on_progress", on_progress, takes=("sent", "total"))
        check_int("multipart_above", multipart_above, least=0)
        check_int("parallel", parallel, least=1)
        check_int("part_size", part_size, least=1)
        if size is not None:
            check_int("size", size, least=0)
        resume_store, wanted = resume_store_of(resume), lifecycle_text(lifecycle)
        async with opened(File(file, content_type=content_type, file_name=file_name), size) as source:
            plan = UploadPlan(
                source=source,
                spec=await spec_of(source, wanted),
                multipart_above=multipart_above,
                part_size=part_size,
                parallel=parallel,
                resume_store=resume_store,
                meter=Meter(source.size, on_progress),
            )
            return await self._uploader.upload(plan)

    async def download(
        self, url: str, to: str | os.PathLike[str], *, on_progress: DownloadProgress | None = None
    ) -> Path:
        """Fetch a file to disk; gives the path written, which holds all of it or does not exist.

        Args:
            url: http, https or `data:`. A file of this account that is closed to others is opened by a CDN token.
            to: a file, which is replaced, or a folder: one that exists, a path that ends with a slash, or one
                without an ending such as `.png` where nothing is yet. There the server chooses the name, made
                safe, and never one that is taken. `~` is the home folder.
            on_progress: called with bytes received, and bytes in all (None where the server does not say). Bytes
                received fall to 0 where the file changed meanwhile and is fetched anew.
                May be async.

        Raises:
            DownloadError: it can't be written, a device or a pipe stands there, or what arrives is not what was
                announced.
            ConfigurationError: no URL, or no path; nothing was sent.
            ApiError (NotFoundError, ...): the server's answer. TransportError: the connection broke too often.
        """
        check_function("on_progress", on_progress, takes=("received", "total"))
        check_url(url)
        target = await target_of(to)
        return await self._downloader.download(url, target, on_progress=on_progress)

    async def download_all(
        self,
        files: Sequence[OutputFile],
        folder: str | os.PathLike[str],
        *,
        names: FileNames | None = None,
        take_equal: bool = False,
    ) -> list[Path]:
        """`download` for every file of an output (`result.files()`), side by side; paths in the same order.

        Args:
            folder: made if missing.
            names: how to call them: a template such as `"cat-{n}{ext}"`, where `{n}` is the place in `files` from
                0, `{name}` the server's name and `{ext}` the ending; or a function of file and place. Names are
                made safe, get an ending if they have none, and a number if they are taken.
            take_equal: a file that is there under that name, with the very same bytes, is taken for the one.

        Raises:
            DownloadError: some are missing: `missing` and `causes` say which and why. The others are there.
            ConfigurationError: no files, no path or no names; nothing was sent.
        """
        files = check_files(files)
        check_flag("take_equal", take_equal)
        download = OutputDownload(self._downloader, files, await folder_of(folder), names, take_equal)
        return await download.run()

    async def transform_input(
        self, input: Any, *, inline_below: int = 0, lifecycle: StorageSettings | None = None
    ) -> Any:
        """`input` with every file in it replaced by its URL; `input` itself where it holds none.

        Files are paths (any `os.PathLike`; text stays text), binary file objects, Pillow images and `File` values,
        in mappings, lists, tuples and records (attrs, dataclass, pydantic, msgspec). They are uploaded side by
        side, each distinct one once. `input` is never changed.

        Args:
            inline_below: files smaller than this many bytes become `data:` URIs; default 0: none does.
            lifecycle: of the uploaded files.

        Raises: as `upload`; an UploadError names the place, such as `input.images[2]`, and ends the other uploads.
            ConfigurationError also for bare bytes: wrap them in `File(data)`.
        """
        check_int("inline_below", inline_below, least=0)
        lifecycle_text(lifecycle)  # a wrong one shows here and now
        found = find_files(input)
        if not found:
            return input
        keys = await abandonable(lambda: [_key_of(file) for file in found])
        distinct = dict(zip(keys, found, strict=True))

        async def send(key: Any) -> str:
            try:
                return await self._send(distinct[key], inline_below, lifecycle)
            except UploadError as error:
                raise error.at(place_of(input, keys.index(key))) from error.__cause__

        sent = await gather_first_error(send, distinct, at_a_time=FILES_AT_A_TIME)
        urls = dict(zip(distinct, sent, strict=True))
        by_place = iter([urls[key] for key in keys])
        return replace_files(input, lambda _: next(by_place))

    async def _send(self, file: Any, inline_below: int, lifecycle: StorageSettings | None) -> str:
        if inline_below > 0:
            async with opened(file) as source:
                if source.size < inline_below:
                    return await _inlined(source)
        return await self.upload(file, lifecycle=lifecycle)

    # Access (protocol 7.4, 11.2).

    async def sign(self, url: str, *, expires_in: int = 86_400) -> str:
        """A URL that opens a restricted file to whoever has it, for `expires_in` seconds (at most 7 days)."""
        request = access.sign_request(self._hosts, url, expires_in)
        return access.parse_signed(await self._transport.send(request))

    async def get_acl(self, url: str) -> dict[str, Any]:
        """Who may read a stored file: `{"default": decision, "rules": [{"user", "decision"}]}`."""
        return access.parse_access(await self._transport.send(access.get_acl_request(self._hosts, url)))

    async def set_acl(self, url: str, acl: str | Mapping[str, Any]) -> dict[str, Any]:
        """`acl`: "allow", "forbid" (403) or "hide" (404) for all but the owner, or what `get_acl` gives."""
        return access.parse_access(await self._transport.send(access.set_acl_request(self._hosts, url, acl)))

    async def get_defaults(self) -> dict[str, Any]:
        """The account's settings for new files: `{"expiration_duration_seconds", "initial_acl"}`."""
        return access.parse_access(await self._transport.send(access.get_defaults_request(self._hosts)))

    async def set_defaults(self, settings: StorageSettings) -> dict[str, Any]:
        """Changes what `settings` says, for all of the account's new files."""
        request = access.set_defaults_request(self._hosts, settings)
        return access.parse_access(await self._transport.send(request))


async def _inlined(source: Source) -> str:
    data = await source.read(0, source.size)
    kind = source.content_type or guess_content_type(source.name, data[:HEAD])
    return await abandonable(partial(data_uri, data, kind))


def _key_of(file: Any) -> Any:
    """Equal for what is the same file: one path, one object, or the same bytes under the same name and type."""
    if isinstance(file, File):
        if file.content_type is None and file.file_name is None:
            return _key_of(file.data)
        return (_key_of(file.data), file.content_type, file.file_name)
    if isinstance(file, str | os.PathLike):
        return ("path", _real_path(os.fsdecode(file)))
    if isinstance(file, bytes | bytearray | memoryview):
        return ("bytes", hashlib.sha256(file if memoryview(file).c_contiguous else bytes(file)).digest())
    return ("object", id(file))


def _real_path(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # a path that can be none: whoever opens it says so
        return path
