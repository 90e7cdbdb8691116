"""Values that come over the wire, frozen. Unknown fields are kept in `raw`; only the id is required."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from fal_async.errors import SessionStateError, one_line, safe_repr, short_tracebacks, shown
from fal_async.outputs.json_values import plain
from fal_async.outputs.output_files import FileNames, OutputFile, files_in, whole_file

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


class Files(Protocol):
    """What a session does with the files in inputs and outputs."""

    async def with_urls(
        self, input: Any, *, inline_below: int | None = None, sha256s: Sequence[str] | None = None
    ) -> Any:
        """What a model gets of the caller's input: its files uploaded, and replaced by their URLs.

        `inline_below`: smaller files (bytes) go inside the input, as `data:` URIs; None: none does.
        `sha256s`: of each file, by which the input was recognised: UploadError where one is another file now.
        """
        ...

    async def download_all(
        self,
        files: Sequence[OutputFile],
        folder: str | PathLike[str],
        *,
        names: FileNames | None = None,
        take_equal: bool = False,
    ) -> list[Path]:
        """Fetch the files into `folder`, side by side, and give their paths. `take_equal`: a file that has the name
        and the bytes of one is that one."""
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
        from_ledger: the ledger had it: nothing was requested of fal, and nothing is paid for.
        cost: by list price, in its currency; None where the price is not known.
    """

    data: T_co = attrs.field(repr=shown)
    request_id: Id_co = attrs.field(default=None)
    attempts: Mapping[str, int] = attrs.field(factory=dict)
    status: Completed | None = None
    logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    from_ledger: bool = False
    cost: Decimal | None = None
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
        """Every file in the output, in order: file objects, and URLs that stand as plain texts.

        A text counts where it is a URL and nothing else, and where its name says that it is a file (`url`,
        `video_url`, `frame_urls`, `images`), or it ends as media files do (`.png`). `status_url` and the like
        lead to no file, and what people wrote (`prompt`, `caption`) stays text. Bytes are one file.
        """
        if isinstance(self.data, bytes):
            return [whole_file(self.data, self.headers.get("content-type", ""))]
        return files_in(self.data)

    async def download(self, folder: str | PathLike[str], *, names: FileNames | None = None) -> list[Path]:
        """Fetch every file of the output into `folder` (made if missing), side by side; gives their paths.

        Args:
            names: None for the server's names, made safe; else a template such as `"cat-{n}{ext}"` (`{n}`: the
                place among the files from 0, `{name}`: the server's name, `{ext}`: the ending), or a function of
                the `OutputFile` and its place. Nothing that is there is overwritten: what is taken gets a
                number, in the order of the output.

        Raises:
            DownloadError: some could not be fetched: `missing`, `causes` and `paths` say which. The others are
                on disk.
            ConfigurationError: no path, or no names; nothing was sent.
            SessionStateError: the session is closed, or the result no longer belongs to one, as after pickling.
        """
        if self._files is None:
            raise SessionStateError("this result belongs to no session: use session.storage.download(...)")
        return await self._files.download_all(self.files(), folder, names=names)

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
