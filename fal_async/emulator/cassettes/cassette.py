"""One recorded call. `fal_async/emulator/RECORDINGS.md` describes the format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

from fal_async.emulator.cassettes.canonical_input import digest
from fal_async.emulator.cassettes.cassette_redaction import kept_headers
from fal_async.emulator.cassettes.content import EMPTY, Content
from fal_async.emulator.cassettes.document_fields import CassetteError, Fields

FORMAT = 1
"""The version of the format."""
Via = Literal["queue", "run", "stream"]
VIAS: tuple[Via, ...] = ("queue", "run", "stream")
STATES = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")


@attrs.frozen(kw_only=True)
class CallKey:
    """What finds a recording.

    Attributes:
        via: how the call was made.
        method: the HTTP method.
        path: the path after the host, such as `fal-ai/flux/dev`; of a stream with `/stream`.
        digest: the digest of the canonical input.
    """

    via: str
    method: str
    path: str
    digest: str

    @classmethod
    def of(cls, via: str, method: str, path: str, input: Any) -> CallKey:
        """Return the key of a call with a canonical input."""
        return cls(via=via, method=method, path=path, digest=digest(input))


@attrs.frozen(kw_only=True)
class Moment:
    """Something that happened to a request.

    Attributes:
        after: seconds since the call arrived.
        status: the new state of the request; None: unchanged.
        queue_position: how many requests are ahead in fal's queue; None: unchanged.
        log: a log entry, as fal sent it.
        event: the bytes of an event or chunk of a stream.
        document: the whole answer to the poll that showed the state, without logs, for `emulator drift`.
    """

    after: float
    status: str | None = None
    queue_position: int | None = None
    log: Mapping[str, Any] | None = None
    event: Content | None = None
    document: Mapping[str, Any] | None = None

    def to_document(self) -> dict[str, Any]:
        fields = attrs.asdict(self, recurse=False) | {
            "event": None if self.event is None else self.event.to_document()
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_document(cls, fields: Fields) -> Moment:
        """Read a moment. Raise CassetteError if something in it is wrong."""
        fields.known("after", "status", "queue_position", "log", "event", "document")
        event, log, document = fields.fields("event"), fields.fields("log"), fields.fields("document")
        status = fields.text("status") if "status" in fields.document else None
        if status is not None and status not in STATES:
            raise CassetteError(f"{fields.at('status')}: {status!r}: expected one of {', '.join(STATES)}")
        if log is not None:
            log.text("message")
        return cls(
            after=fields.seconds("after"),
            status=status,
            queue_position=fields.integer("queue_position") if "queue_position" in fields.document else None,
            log=None if log is None else log.document,
            event=None if event is None else Content.from_document(event),
            document=None if document is None else document.document,
        )


@attrs.frozen(kw_only=True)
class RecordedAnswer:
    """An HTTP answer of fal.

    Attributes:
        after: seconds since the call arrived.
        status: the HTTP status.
        headers: those of `KEPT_HEADERS`, with lower-case names.
        body: the body.
    """

    after: float
    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=kept_headers)
    body: Content = EMPTY

    def to_document(self) -> dict[str, Any]:
        return {
            "after": self.after,
            "status": self.status,
            "headers": dict(self.headers),
            "body": self.body.to_document(),
        }

    @classmethod
    def from_document(cls, fields: Fields) -> RecordedAnswer:
        """Read an answer. Raise CassetteError if something in it is wrong."""
        fields.known("after", "status", "headers", "body")
        headers, body = Fields(fields.at("headers"), fields.object("headers")), fields.fields("body")
        status = fields.integer("status")
        if not 100 <= status <= 599:
            raise CassetteError(f"{fields.at('status')}: {status}: expected an HTTP status")
        return cls(
            after=fields.seconds("after"),
            status=status,
            headers={name: _header(headers, name) for name in headers.document},
            body=EMPTY if body is None else Content.from_document(body),
        )


@attrs.frozen(kw_only=True)
class RecordedFile:
    """A file to which a URL in an answer leads.

    Attributes:
        file: its name in the folder's `files`.
        content_type: its content type.
        size: its size in bytes.
    """

    file: str
    content_type: str
    size: int

    @classmethod
    def from_document(cls, fields: Fields) -> RecordedFile:
        """Read a file. Raise CassetteError if something in it is wrong."""
        fields.known("file", "content_type", "size")
        return cls(
            file=fields.text("file"),
            content_type=fields.text("content_type", default="application/octet-stream"),
            size=fields.integer("size", default=0),
        )


@attrs.frozen(kw_only=True)
class Cassette:
    """A recorded call.

    Attributes:
        recorded_at: when the call arrived, as an ISO date in UTC; recordings of one input are played in this order.
        via: how the call was made.
        endpoint_id: the endpoint.
        path: the path after the host.
        method: the HTTP method.
        input: the canonical input, as `canonical_input.canonical` returns it.
        request_id: fal's request id; None if fal gave none.
        submit: fal's answer to a submit to the queue; None for other calls. After an error there is no `answer`.
        moments: what happened, in order of time.
        answer: the final answer: result, error, or the end of a stream. None if the submit was refused.
        files: the files of the answer and the events, by the URL that fal gave.
    """

    recorded_at: str
    via: Via
    endpoint_id: str
    path: str
    method: str = "POST"
    input: Any
    request_id: str | None = None
    submit: RecordedAnswer | None = None
    moments: tuple[Moment, ...] = ()
    answer: RecordedAnswer | None = None
    files: Mapping[str, RecordedFile] = attrs.field(factory=dict)
    digest: str = attrs.field(init=False)
    """The digest of the input; a cassette without it can be written by hand."""

    @digest.default
    def _digest(self) -> str:
        return digest(self.input)

    @property
    def key(self) -> CallKey:
        return CallKey(via=self.via, method=self.method, path=self.path, digest=self.digest)

    def names_of_files(self) -> Iterator[str]:
        """Yield the name of each file that the cassette needs."""
        yield from (file.file for file in self.files.values())
        answers = [answer.body for answer in (self.submit, self.answer) if answer is not None]
        for content in (*answers, *(moment.event for moment in self.moments)):
            if content is not None and content.kind == "file":
                yield content.value

    def to_document(self) -> dict[str, Any]:
        """Return the cassette as JSON values."""
        return {
            "format": FORMAT,
            "recorded_at": self.recorded_at,
            "via": self.via,
            "endpoint_id": self.endpoint_id,
            "path": self.path,
            "method": self.method,
            "input": self.input,
            "digest": self.digest,
            "request_id": self.request_id,
            "submit": None if self.submit is None else self.submit.to_document(),
            "moments": [moment.to_document() for moment in self.moments],
            "answer": None if self.answer is None else self.answer.to_document(),
            "files": {url: attrs.asdict(file) for url, file in sorted(self.files.items())},
        }

    @classmethod
    def from_document(cls, name: str, value: Any) -> Cassette:
        """Read a cassette. Raise CassetteError if something in it is wrong.

        Args:
            name: what errors call it, such as the path of its file.
            value: the JSON value.
        """
        fields = Fields.of(name, value, is_inner=False)
        fields.refuse_constants()
        _check_format(fields)
        read = cls(
            recorded_at=_moment_in_time(fields),
            via=_via(fields),
            endpoint_id=fields.text("endpoint_id"),
            path=fields.text("path", default=fields.text("endpoint_id")),
            method=fields.text("method", default="POST"),
            input=fields.document.get("input", {}),
            request_id=_request_id(fields),
            submit=_answer(fields, "submit"),
            moments=tuple(_each(fields, "moments", Moment.from_document)),
            answer=_answer(fields, "answer"),
            files={
                url: RecordedFile.from_document(Fields.of(f"{name}: files[{url!r}]", file))
                for url, file in fields.object("files").items()
            },
        )
        _check_whole(fields, read)
        return read


_REQUEST_ID = re.compile(r"[\w-]+")
_NAMES = (
    "format",
    "recorded_at",
    "via",
    "endpoint_id",
    "path",
    "method",
    "input",
    "digest",
    "request_id",
    "submit",
    "moments",
    "answer",
    "files",
)


def _check_format(fields: Fields) -> None:
    if (version := fields.integer("format")) != FORMAT:
        raise CassetteError(
            f"{fields.at('format')}: {version}: this fal_async reads format {FORMAT}: update fal_async, or "
            "record the call again"
        )
    fields.known(*_NAMES)


def _check_whole(fields: Fields, read: Cassette) -> None:
    place, wanted = fields.place, fields.text("digest", default=read.digest)
    if wanted != read.digest:
        raise CassetteError(
            f"{fields.at('digest')}: {wanted} is not the digest of the field input, which is {read.digest}: "
            "correct it, or delete the field digest"
        )
    refused = read.submit is not None and read.submit.status >= 400
    if read.answer is None and not refused:
        raise CassetteError(
            f"{place}: the field 'answer' is missing: expected the result, or a refused submit"
        )
    times = [moment.after for moment in read.moments] + ([] if read.answer is None else [read.answer.after])
    if times != sorted(times):
        raise CassetteError(
            f"{fields.at('moments')}: expected moments in order of `after`, and the answer last"
        )


def _request_id(fields: Fields) -> str | None:
    if fields.document.get("request_id") is None:
        return None
    if not _REQUEST_ID.fullmatch(text := fields.text("request_id")):
        raise CassetteError(
            f"{fields.at('request_id')}: {text!r}: expected letters, digits and hyphens, or null"
        )
    return text


def _header(headers: Fields, name: str) -> str:
    if not (value := headers.text(name)).isprintable():
        raise CassetteError(f"{headers.at(name)}: {value!r}: expected printable characters")
    return value


def _via(fields: Fields) -> Via:
    if (via := fields.text("via")) not in VIAS:
        raise CassetteError(f"{fields.at('via')}: {via!r}: expected one of {', '.join(VIAS)}")
    return via


def _moment_in_time(fields: Fields) -> str:
    text = fields.text("recorded_at")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CassetteError(
            f"{fields.at('recorded_at')}: {text!r}: expected a date such as 2026-12-01T12:00:00Z"
        )
    return text


def _answer(fields: Fields, name: str) -> RecordedAnswer | None:
    inner = fields.fields(name)
    return None if inner is None else RecordedAnswer.from_document(inner)


def _each(fields: Fields, name: str, read: Callable[[Fields], Moment]) -> Iterator[Moment]:
    for at, item in enumerate(fields.items(name)):
        yield read(Fields.of(f"{fields.at(name)}[{at}]", item))
