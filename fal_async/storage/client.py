"""`session.storage`: upload and download files, and manage access to them (protocol 7, 11.2).

Citations such as (protocol 7.4) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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


@short_tracebacks
class Storage:
    """Upload and download files, and manage access to stored files: `session.storage`."""

    def __init__(self, transport: Transport, settings: Settings, tokens: SingleFlight[CdnToken]) -> None:
        self._transport, self._hosts = transport, settings.hosts
        cdn = Cdn(transport, settings.hosts, tokens)
        self._uploader = Uploader(transport, settings, cdn)
        self._downloader = Downloader(transport, settings, cdn)

    async def upload(
        self,
        file: Any,
        *,
        # The file.
        content_type: str | None = None,
        file_name: str | None = None,
        size: int | None = None,
        lifecycle: StorageSettings | None = None,
        # The transfer.
        on_progress: ProgressCallback | None = None,
        resume: str | os.PathLike[str] | UploadState | None = None,
        multipart_above: int = MULTIPART_ABOVE,
        part_size: int = PART_SIZE,
        parallel: int = PARALLEL,
    ) -> str:
        """Upload a file to fal's CDN and return its URL (protocol 7.1-7.4).

        The file is read piece by piece while it is sent, so memory use does not depend on its size.

        Cancelling is safe and takes effect within half a second, even while the file object's `read` blocks. That
        `read` continues in its thread, and a new upload of the same file object waits until it returns. With
        `resume`, the same call can be made again and sends only the missing parts.

        Args:
            file: A path (`str` or any `os.PathLike`; `~` is the home folder), bytes, a binary file object, any
                object with a `read` method (async or not; without a size argument it is read into memory), an
                async iterable of bytes, a Pillow image (sent as PNG, unless `content_type` or `file_name` names
                another format) or a `File`.
                A file object is read from its current position, or from its start if it is at its end. A file
                that can be read only once (a pipe, an iterable) is first copied to a temporary file.
            content_type: Such as "image/png". None (default): the type of the name's suffix, unless the first 32
                bytes of the file clearly show another type. Without a known suffix these bytes decide; if they
                are unknown too, it is "application/octet-stream".
            file_name: The name under which fal stores the file. None (default): the name of the path or of the
                file object.
            size: The size in bytes that the file must have, if you know it. It is compared with the real size
                before anything is sent. None (default): not checked.
            lifecycle: How long the file is kept and who may read it. None (default): the account's settings.
            on_progress: Called with the bytes sent and the total in bytes; may be async. The first number never
                decreases.
            resume: A path or an `UploadState`, in which the progress of a multipart upload is recorded, so that
                the same call can continue it after a crash or a cancellation. When the upload is complete, the
                record is deleted. It is not used for a file that is sent in one HTTP request. None (default): an
                interrupted upload starts again.
            multipart_above: Size in bytes above which a file is sent in parts. Default 100 MiB.
            part_size: Size of a part in bytes. Default 10 MiB; it is raised if the file would need more than
                10,000 parts.
            parallel: Maximum number of parts that are sent at the same time. Default 8.

        Returns:
            The URL of the stored file.

        Raises:
            UploadError: If the file can't be read (for any exception of its `read`), is empty, has another size
                than `size`, changes during the upload, or is not accepted by fal.
            ConfigurationError: If an argument is invalid. Nothing was sent.
            AuthenticationError: If fal does not accept the API key.
            PermissionDeniedError: If the API key may not upload.
            Exception: Whatever `on_progress` or an async iterable raises.
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
        """Download a file to disk and return its path.

        The file appears under its name only when it is complete. After a broken connection the download continues
        where it stopped.

        Cancelling is safe: no partial file is left behind. On Linux this is also true if the process is killed. On
        other systems, and on file systems without unnamed files, such as NFS, a killed process leaves a hidden file
        `.fal-<hex>.part` in the folder. No later download deletes it, because another process may still be writing
        it. You can delete it when no process downloads into the folder.

        Args:
            url: An http, https or `data:` URL. For a restricted file of this account the request carries a CDN
                token (protocol 7.4).
            to: The path of a file, which is replaced if it exists, or of a folder. It is treated as a folder if it
                ends with a slash, if it is an existing folder, or if nothing exists at the path and its last part
                has no suffix such as `.png`. In a folder the file gets the server's name, made safe for file
                systems. If that name exists, a number is added (`cat-2.png`): nothing in a folder is replaced.
                Missing folders are created. `~` is the home folder.
            on_progress: Called with the bytes received and the total in bytes (None if the server does not report
                it); may be async. The first number falls back to 0 if the file has changed on the server and is
                downloaded again.

        Returns:
            The path of the written file.

        Raises:
            DownloadError: If the file can't be written, if the target is a device or a pipe, or if the response
                does not contain the whole file, or is an error page instead.
            ConfigurationError: If `url` is not a URL or `to` is not a path. Nothing was sent.
            ApiError: If the server answers with an error, such as NotFoundError.
            TransportError: If `RetryPolicy.max_attempts` attempts in a row failed without receiving more bytes.
            Exception: Whatever `on_progress` raises.
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
        """Download all files of an output (`result.files()`) into a folder, up to 8 at a time.

        Cancelling is safe: no partial file is left behind, and files that already have their names stay. What a
        killed process leaves behind is described at `download`.

        Args:
            files: The files of the output.
            folder: Created if it does not exist.
            names: File names. A template such as `"cat-{n}{ext}"`, where `{n}` is the index in `files` (from 0),
                `{name}` the server's name without its suffix, and `{ext}` the suffix with its dot; or a function of
                the file and its index. Names are made safe for file systems. A name without a suffix gets one. If
                a file of that name exists, a number is added (`cat-2.png`). None (default): the server's names.
            take_equal: Whether the path of an existing file with the same name and the same bytes is returned,
                instead of writing a copy with a number; default False.

        Returns:
            The paths, in the order of `files`.

        Raises:
            DownloadError: If some files could not be downloaded. Its `missing` contains these files, and `causes`
                their errors. The other files are on disk, at `paths`.
            ConfigurationError: If `files`, `folder` or `names` is invalid. Nothing was sent.
            Exception: Whatever a function in `names` raises.
        """
        files = check_files(files)
        check_flag("take_equal", take_equal)
        download = OutputDownload(self._downloader, files, await folder_of(folder), names, take_equal)
        return await download.run()

    async def transform_input(
        self, input: Any, *, inline_below: int = 0, lifecycle: StorageSettings | None = None
    ) -> Any:
        """Upload every file in `input` and return a copy with URLs in their place.

        Files are paths (any `os.PathLike`; a `str` is never a file here), binary file objects, Pillow images and
        `File` values, anywhere in mappings, lists, tuples and records (attrs, dataclass, pydantic, msgspec). Up to
        8 files are uploaded at the same time, each distinct file once. `input` itself is never changed.

        Cancelling is safe: running uploads are cancelled, and files that were already uploaded stay at fal.

        Args:
            input: The input of a model.
            inline_below: Files smaller than this many bytes become `data:` URIs (protocol 7.5). Default 0: every
                file is uploaded.
            lifecycle: How long the uploaded files are kept and who may read them. None (default): the account's
                settings.

        Returns:
            The input with URLs; `input` itself if it contains no files.

        Raises:
            UploadError: If a file can't be uploaded (see `upload`). The error names the file's place, such as
                `input.images[2]`. Uploads that still run are cancelled.
            ConfigurationError: If an argument is invalid, or `input` contains bare bytes: wrap them in
                `File(data)`.
            AuthenticationError: If fal does not accept the API key.
            PermissionDeniedError: If the API key may not upload.
        """
        check_int("inline_below", inline_below, least=0)
        lifecycle_text(lifecycle)  # checked even if `input` contains no files
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
        """Return a signed URL: everyone who has it can read a restricted file (protocol 7.4, 11.2).

        Cancelling is safe: nothing is changed at fal.

        Args:
            url: The CDN URL of a file of this account. A query in it, such as a signature, is not sent.
            expires_in: Seconds until the signed URL expires, 1 to 604,800 (7 days). Default 86,400 (24 h).

        Returns:
            The signed URL.

        Raises:
            ConfigurationError: If an argument is invalid. Nothing was sent.
            ApiError: If fal refuses, such as NotFoundError for an unknown file.
            TransportError: If fal can't be reached.
        """
        request = access.sign_request(self._hosts, url, expires_in)
        return access.parse_signed(await self._transport.send(request))

    async def get_acl(self, url: str) -> dict[str, Any]:
        """Return the access rules of a stored file (protocol 7.4, 11.2).

        Cancelling is safe: nothing is changed at fal.

        Args:
            url: The CDN URL of a file of this account. A query in it, such as a signature, is not sent.

        Returns:
            `{"default": decision, "rules": [{"user": name, "decision": decision}]}`; a decision is "allow",
            "forbid" or "hide".

        Raises:
            ConfigurationError: If `url` is not an http(s) URL. Nothing was sent.
            ApiError: If fal refuses, such as NotFoundError for an unknown file.
            TransportError: If fal can't be reached.
        """
        return access.parse_access(await self._transport.send(access.get_acl_request(self._hosts, url)))

    async def set_acl(self, url: str, acl: str | Mapping[str, Any]) -> dict[str, Any]:
        """Replace the access rules of a stored file (protocol 7.4, 11.2).

        After a cancellation fal may have saved the rules or not; the same call can be made again.

        Args:
            url: The CDN URL of a file of this account. A query in it, such as a signature, is not sent.
            acl: "allow", "forbid" (others get 403) or "hide" (others get 404) for everyone but the owner; or rules
                as returned by `get_acl`.

        Returns:
            The rules that fal saved, in the form of `get_acl`. Rules for users that fal does not know are missing:
            fal drops them.

        Raises:
            ConfigurationError: If an argument is invalid. Nothing was sent.
            ApiError: If fal refuses, such as NotFoundError for an unknown file.
            TransportError: If fal can't be reached.
        """
        return access.parse_access(await self._transport.send(access.set_acl_request(self._hosts, url, acl)))

    async def get_defaults(self) -> dict[str, Any]:
        """Return the account's settings for new files (protocol 7.4, 11.2).

        Cancelling is safe: nothing is changed at fal.

        Returns:
            `{"expiration_duration_seconds": seconds, "initial_acl": rules}`; seconds are None if files never
            expire.

        Raises:
            ApiError: If fal refuses, such as PermissionDeniedError.
            TransportError: If fal can't be reached.
        """
        return access.parse_access(await self._transport.send(access.get_defaults_request(self._hosts)))

    async def set_defaults(self, settings: StorageSettings) -> dict[str, Any]:
        """Set the account's settings for new files (protocol 7.4, 11.2).

        After a cancellation fal may have saved the settings or not; the same call can be made again.

        Args:
            settings: The new settings. `expires_in="never"` is sent as null. A field that is None is not sent, and
                fal's API description says that fal then clears that setting (protocol 7.4): pass every setting that
                you want to keep.

        Returns:
            The settings that fal saved, in the form of `get_defaults`.

        Raises:
            ConfigurationError: If `settings` is not a StorageSettings. Nothing was sent.
            ApiError: If fal refuses, such as PermissionDeniedError.
            TransportError: If fal can't be reached.
        """
        request = access.set_defaults_request(self._hosts, settings)
        return access.parse_access(await self._transport.send(request))


async def _inlined(source: Source) -> str:
    data = await source.read(0, source.size)
    kind = source.content_type or guess_content_type(source.name, data[:HEAD])
    return await abandonable(partial(data_uri, data, kind))


def _key_of(file: Any) -> Any:
    """Return equal keys for the same path, the same object, or the same bytes with the same name and type."""
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
    except (OSError, ValueError):  # not a valid path: opening it raises the error
        return path
