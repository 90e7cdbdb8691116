"""Values that come over the wire, frozen. Unknown fields are kept in `raw`; only the id is required."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from fal_async.errors import SessionStateError, one_line, safe_repr, short_tracebacks, shown
from fal_async.json_values import plain

if TYPE_CHECKING:
    # Type checkers have the newer form at any version: without `output_type` data is Any.
    import typing_extensions

    T = typing_extensions.TypeVar("T", default=Any)
    T_co = typing_extensions.TypeVar("T_co", covariant=True, default=Any)
    Id_co = typing_extensions.TypeVar("Id_co", covariant=True, default=str | None)
else:
    T = TypeVar("T")
    T_co = TypeVar("T_co", covariant=True)
    Id_co = TypeVar("Id_co", covariant=True)


@attrs.frozen(kw_only=True)
class RequestLog:
    """One log line of a request (protocol 4.2). `timestamp` is the server's ISO text; `level` is free text."""

    message: str
    timestamp: str = ""
    level: str = ""
    source: str = ""


@attrs.frozen(kw_only=True, init=False, eq=False, repr=False)
class _Status:
    request_id: str
    logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=False)
    """What the server sent this time: a moving window."""
    new_logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=lambda logs: f"<{len(logs)}>")
    """The entries that no earlier update of the same generator held."""
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """The whole answer as it came."""

    @property
    def headline(self) -> str:
        """Where the request stands, in a few words and without its logs."""
        return "unknown"

    def __str__(self) -> str:
        """The headline, and the newest of the log lines that came with it."""
        return f"{self.headline}: {self.new_logs[-1].message}" if self.new_logs else self.headline


@attrs.frozen(kw_only=True)
class Queued(_Status):
    """IN_QUEUE. `position` counts the requests ahead, from 0; None where the server did not say."""

    position: int | None = None

    @property
    def headline(self) -> str:
        return "IN_QUEUE" if self.position is None else f"IN_QUEUE at position {self.position}"


@attrs.frozen(kw_only=True)
class InProgress(_Status):
    """IN_PROGRESS. May fall back to `Queued` when the platform retries (protocol 4.2)."""

    @property
    def headline(self) -> str:
        return "IN_PROGRESS"


@attrs.frozen(kw_only=True)
class Completed(_Status):
    """COMPLETED: finished, well or badly: fal has no failed or cancelled status (protocol 4.2).

    `error` and `error_type` are set only where it failed. `metrics` may hold `inference_time` in seconds.
    """

    metrics: Mapping[str, Any] = attrs.field(factory=dict)
    error: str | None = attrs.field(default=None, repr=safe_repr)
    error_type: str | None = attrs.field(default=None, repr=safe_repr)

    @property
    def headline(self) -> str:
        return "COMPLETED" if self.error is None and self.error_type is None else "COMPLETED with an error"


@attrs.frozen(kw_only=True)
class UnknownStatus(_Status):
    """A status word that this version does not know; the request is not complete."""

    status: str = attrs.field(default="", repr=safe_repr)

    @property
    def headline(self) -> str:
        return one_line(self.status) or "unknown"


QueueStatus = Queued | InProgress | Completed | UnknownStatus
"""Where a request stands. Tell the kinds apart with `match` or `isinstance`."""


@attrs.frozen(kw_only=True)
class OutputFile:
    """A file in an output: `{url, content_type?, file_name?, file_size?, width?, height?}` (protocol 13)."""

    url: str
    """May be a `data:` URI, which holds the file itself."""
    content_type: str | None = None
    file_name: str | None = None
    file_size: int | None = None
    """Bytes."""
    width: int | None = None
    height: int | None = None
    path: str = "$"
    """Where it stands in the output, such as `$.images[0]`."""

    def __repr__(self) -> str:
        # The query of a signed URL and the body of a data URI are nobody's business.
        url = self.url.partition("," if self.url.startswith("data:") else "?")[0]
        return one_line(f"OutputFile({self.path}: {url}, {self.content_type}, {self.file_size} bytes)")


_URL_SCHEMES = ("https://", "http://", "data:")
_FILE_FIELDS = {"content_type": str, "file_name": str, "file_size": int, "width": int, "height": int}


def files_in(data: Any) -> list[OutputFile]:
    """Every file object in an output, in order: JSON values, or what an `output_type` made of them."""
    return list(_files_in(data, "$", ()))


def _files_in(value: Any, path: str, above: tuple[int, ...]) -> Iterator[OutputFile]:
    if value is None or isinstance(value, str | bytes | int | float) or id(value) in above:
        return
    above = (*above, id(value))
    if isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from _files_in(item, f"{path}[{at}]", above)
        return
    fields = _fields_of(value)
    url = fields.get("url")
    if isinstance(url, str) and url.lower().startswith(_URL_SCHEMES):
        yield _output_file(url, fields, path)
    for name, item in fields.items():
        yield from _files_in(item, f"{path}.{name}", above)


def _fields_of(value: Any) -> Mapping[Any, Any]:
    """Of an object, an attrs value or a dataclass; none of other things."""
    if isinstance(value, Mapping):
        return value
    names = getattr(type(value), "__attrs_attrs__", None)
    if names is not None:
        return {field.name: getattr(value, field.name, None) for field in names}
    names = getattr(type(value), "__dataclass_fields__", {})
    return {name: getattr(value, name, None) for name in names}


def _output_file(url: str, fields: Mapping[Any, Any], path: str) -> OutputFile:
    """Any extra can be null, or of a type that nobody promised (protocol 13)."""
    known = {name: fields.get(name) for name in _FILE_FIELDS}
    fitting: Any = {name: value for name, value in known.items() if isinstance(value, _FILE_FIELDS[name])}
    return OutputFile(url=url, path=path, **fitting)


class Files(Protocol):
    """What a session does with the files in inputs and outputs."""

    async def with_urls(self, input: Any, *, inline_below: int | None = None) -> Any:
        """What a model gets of the caller's input: its files uploaded, and replaced by their URLs.

        `inline_below`: smaller files (bytes) go inside the input, as `data:` URIs; None: none does.
        """
        ...

    async def download_all(self, files: Sequence[OutputFile], folder: str | PathLike[str]) -> list[Path]:
        """Fetch the files into `folder`, side by side, and give their paths."""
        ...


@short_tracebacks
@attrs.frozen(kw_only=True)
class Result(Generic[T_co, Id_co]):
    """The outcome of a request.

    Attributes:
        data: decoded JSON, or an `output_type` built from it; text or bytes where the model answers so.
        request_id: fal's id, None where a direct call's answer did not carry one.
        attempts: HTTP requests it took, by kind: `{"submit": 1, "status": 4, "result": 1}`.
        status: the final `Completed`; None for a direct call.
        headers: of the answer that carried `data`, names in lower case.
    """

    data: T_co = attrs.field(repr=shown)
    request_id: Id_co = attrs.field(default=None)
    attempts: Mapping[str, int] = attrs.field(factory=dict)
    status: Completed | None = None
    logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    _files: Files | None = attrs.field(default=None, repr=False, eq=False)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-able values, without `headers`: fit for an HTTP answer or a file. NaN is null, bytes
        are base64, dates ISO 8601, records objects. ConfigurationError where `data` holds what has no JSON.

        A handler of FastAPI may return the result itself, which gives the same.
        """
        return {
            "request_id": self.request_id,
            "data": plain(self.data),
            "metrics": plain(self.metrics),
            "billable_units": self.billable_units,
            "attempts": dict(self.attempts),
            "logs": plain(self.logs),
        }

    def files(self) -> list[OutputFile]:
        """Every file object in the output, in order."""
        return files_in(self.data)

    async def download(self, folder: str | PathLike[str]) -> list[Path]:
        """Fetch every file of the output into `folder` (made if missing), side by side; gives their paths.

        Names are the server's, made safe and unique: nothing that is there is overwritten.
        SessionStateError where the result no longer belongs to a session, as after pickling.
        Otherwise what `storage.download` raises; files that were complete by then stay.
        """
        if self._files is None:
            raise SessionStateError("this result belongs to no session: use session.storage.download(...)")
        return await self._files.download_all(self.files(), folder)

    def __getstate__(self) -> dict[str, Any]:
        # The tie to the session is not part of the value.
        names = [field.name for field in attrs.fields(Result)]
        return {name: None if name == "_files" else getattr(self, name) for name in names}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The final status's metrics, such as `inference_time` (seconds); empty for a direct call."""
        return self.status.metrics if self.status else {}

    @property
    def billable_units(self) -> float | None:
        """Units billed (`x-fal-billable-units`, protocol 3.2), or None where the answer does not say."""
        try:
            units = float(self.headers["x-fal-billable-units"])
        except (KeyError, ValueError):
            return None
        return units if math.isfinite(units) else None

    if not TYPE_CHECKING:  # type checkers are to find these mistakes themselves

        def __class_getitem__(cls, of):
            return super().__class_getitem__(of if isinstance(of, tuple) else (of, str | None))

        def __getitem__(self, name):
            raise TypeError(f"a Result is no mapping: the output is its .data, as in result.data[{name!r}]")

        def __getattr__(self, name):
            hint = "" if name.startswith("_") else f": the output is its .data, as in result.data[{name!r}]"
            raise AttributeError(f"a Result has no attribute {name!r}{hint}")

        def __iter__(self):
            # `dict(result)` is how FastAPI asks a value for its fields; pydantic's models give theirs so, too.
            return iter(self.to_dict().items())

        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            # The value as it is, and `to_dict` in JSON. A schema is a plain dict: nothing to import.
            written = {"type": "function-plain", "function": cls.to_dict, "return_schema": {"type": "dict"}}
            return {"type": "is-instance", "cls": cls, "serialization": written}
