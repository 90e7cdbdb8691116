"""One call at upstream while it is recorded: what it writes down, and the files of its answers."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import attrs

from fal_async.emulator.cassettes.cassette import Cassette, Moment, RecordedAnswer, RecordedFile, Via
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.cassette_redaction import Redactor, without_signatures
from fal_async.emulator.cassettes.content import Content
from fal_async.emulator.cassettes.document_fields import CassetteError
from fal_async.emulator.recordings.upstream import Reply, Upstream
from fal_async.emulator.recordings.upstream_connections import UpstreamError

logger: logging.Logger = logging.getLogger("fal_async.emulator")

_FILE_URL = re.compile(rb"https://(?:v3b?\.)?fal\.media/files/[\w%./~+@=&?:,$-]*[\w/=&%~+-]")
"""URLs of files in fal's answers (protocol 13). Files of other servers stay where they are."""
_OCTETS = "application/octet-stream"


@attrs.frozen
class _Unrecorded(Content):
    """Bytes that could not be written, but that the caller gets."""

    raw: bytes = attrs.field(repr=False, kw_only=True)

    def data(self, read_file: Callable[[str], bytes]) -> bytes:  # noqa: ARG002
        return self.raw


@attrs.define(eq=False, kw_only=True)
class Take:
    """The notes about one call.

    Attributes:
        folder: where it is written.
        upstream: where the files of answers are read.
        redactor: removes the keys from what the caller gets, so that a replay has the same bytes.
        via: how the call was made.
        endpoint_id: the endpoint.
        path: the path after the host.
        method: the HTTP method.
        input: the canonical input.
        began: when the call arrived, by the clock of the event loop.
        recording: the path of the cassette in its folder; None before it is written.
    """

    folder: CassetteFolder = attrs.field(repr=False)
    upstream: Upstream
    redactor: Redactor = attrs.field(repr=False)
    via: Via
    endpoint_id: str
    path: str
    method: str
    input: Any = attrs.field(repr=False)
    began: float = attrs.field(factory=lambda: asyncio.get_running_loop().time())
    request_id: str | None = None
    submit: RecordedAnswer | None = None
    moments: list[Moment] = attrs.field(factory=list)
    answer: RecordedAnswer | None = None
    files: dict[str, RecordedFile] = attrs.field(factory=dict)
    recording: str | None = None
    _recorded_at: str = attrs.field(factory=lambda: datetime.now(UTC).isoformat(), init=False)
    _spoilt: str | None = attrs.field(default=None, init=False)
    """Why the call can't be recorded, although its caller gets an answer."""

    @property
    def after(self) -> float:
        return round(asyncio.get_running_loop().time() - self.began, 3)

    async def noted(self, reply: Reply) -> RecordedAnswer:
        """Return an answer of upstream as it is recorded, and download the files of a result."""
        after, body = self.after, self._readable(reply.body)
        if reply.ok:
            body = await self._with_files(body)
        return RecordedAnswer(
            after=after, status=reply.status, headers=reply.headers, body=self._content(body)
        )

    async def event(self, data: bytes) -> Moment:
        """Note an event or a chunk of a stream, and download the files that it names."""
        after, data = self.after, await self._with_files(self._readable(data))
        moment = Moment(after=after, event=self._content(data))
        self.moments.append(moment)
        return moment

    def save(self) -> None:
        """Write the call. A full disk costs the recording, not the answer."""
        if self._spoilt is None:
            try:
                self.recording = self.folder.add(self._cassette()).name
            except CassetteError as error:
                self._spoilt = str(error)
        if self._spoilt is not None:
            logger.error("a call of %s is not recorded: %s", self.path, self._spoilt)

    def _cassette(self) -> Cassette:
        return Cassette(
            recorded_at=self._recorded_at,
            via=self.via,
            endpoint_id=self.endpoint_id,
            path=self.path,
            method=self.method,
            input=self.input,
            request_id=self.request_id,
            submit=self.submit,
            moments=tuple(self.moments),
            answer=self.answer,
            files=self.files,
        )

    def _readable(self, data: bytes) -> bytes:
        """Return a body with fal's own URLs in place of upstream's, and without the keys."""
        with suppress(UnicodeDecodeError):
            data = self.upstream.as_fals(data.decode()).encode()
        return self.redactor.data(data)

    def _content(self, data: bytes) -> Content:
        try:
            return Content.of(data, lambda raw: self.folder.add_file(raw, _OCTETS))
        except CassetteError as error:
            self._spoilt = str(error)
            return _Unrecorded("file", "", raw=data)

    async def _with_files(self, body: bytes) -> bytes:
        """Download the files that a body names, and return it with their URLs as they are recorded."""
        for url in dict.fromkeys(_FILE_URL.findall(body)):
            if await self._has_file(url.decode()):
                body = body.replace(url, without_signatures(url.decode()).encode())
        return body

    async def _has_file(self, url: str) -> bool:
        recorded = without_signatures(url)
        if recorded in self.files:
            return True
        try:
            reply = await self.upstream.download(url)
            if not reply.ok:  # fal has no such file, so the URL stays as it is
                logger.warning("%s was answered %d, and is not recorded", recorded, reply.status)
                return False
            content_type = reply.headers.get("Content-Type", _OCTETS)
            name = await asyncio.to_thread(self.folder.add_file, reply.body, content_type)
        except (UpstreamError, CassetteError) as error:
            self._spoilt = str(error)  # the caller gets fal's own URL
            return False
        self.files[recorded] = RecordedFile(file=name, content_type=content_type, size=len(reply.body))
        return True
