"""Frozen values of fal's responses. Unknown fields are kept in `raw`; only the request id is required.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

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
    # Type checkers know defaults of type variables on every Python version: without `output_type`, data is Any.
    import typing_extensions

    T = typing_extensions.TypeVar("T", default=Any)
    T_co = typing_extensions.TypeVar("T_co", covariant=True, default=Any)
    Id_co = typing_extensions.TypeVar("Id_co", covariant=True, default=str | None)
    # The types of an endpoint. A call returns Out, unless it has an `output_type`.
    In = typing_extensions.TypeVar("In", default=Any)
    In_contra = typing_extensions.TypeVar("In_contra", contravariant=True, default=Any)
    Out = typing_extensions.TypeVar("Out", default=Any)
    OutOr = typing_extensions.TypeVar("OutOr", default=Out)
else:
    T, In, Out, OutOr = TypeVar("T"), TypeVar("In"), TypeVar("Out"), TypeVar("OutOr")
    In_contra = TypeVar("In_contra", contravariant=True)
    T_co = TypeVar("T_co", covariant=True)
    Id_co = TypeVar("Id_co", covariant=True)


@attrs.frozen(kw_only=True)
class RequestLog:
    """One log line of a request (protocol 4.2).

    Attributes:
        message: the text of the line.
        timestamp: the time in ISO 8601, as the server sent it, or `""`.
        level: the level as the server named it, such as `"INFO"`, or `""`.
        source: the origin of the line as the server named it, such as `"USER"`, or `""`.
    """

    message: str
    timestamp: str = ""
    level: str = ""
    source: str = ""


@attrs.frozen(kw_only=True, init=False, eq=False, repr=False)
class _Status:
    """The common attributes of all statuses.

    Attributes:
        request_id: fal's id of the request.
        logs: the log entries that the server sent with this status: a moving window of all entries.
        new_logs: those entries that are in no earlier status of the same `subscribe`, `wait` or `updates()`.
        raw: the whole response.
    """

    request_id: str
    logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=False)
    new_logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=lambda logs: f"<{len(logs)}>")
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def headline(self) -> str:
        """The status in a few words, without logs, such as `"IN_QUEUE at position 4"`."""
        return "unknown"

    def __str__(self) -> str:
        """Return the headline and the newest new log line."""
        return f"{self.headline}: {self.new_logs[-1].message}" if self.new_logs else self.headline


@attrs.frozen(kw_only=True)
class Queued(_Status):
    """IN_QUEUE: the request waits for a runner (protocol 4.2).

    Attributes:
        request_id: fal's id of the request.
        position: the number of requests ahead of it, from 0; None if the server did not send it.
        logs: the log entries that the server sent with this status.
        new_logs: those entries that are in no earlier status of the same `subscribe`, `wait` or `updates()`.
        raw: the whole response.
    """

    position: int | None = None

    @property
    def headline(self) -> str:
        """The status and the position, such as `"IN_QUEUE at position 4"`."""
        return "IN_QUEUE" if self.position is None else f"IN_QUEUE at position {self.position}"


@attrs.frozen(kw_only=True)
class InProgress(_Status):
    """IN_PROGRESS: a runner works on the request. It becomes `Queued` again if fal retries it (protocol 4.2).

    Attributes:
        request_id: fal's id of the request.
        logs: the log entries that the server sent with this status: a moving window of all entries.
        new_logs: those entries that are in no earlier status of the same `subscribe`, `wait` or `updates()`.
        raw: the whole response.
    """

    @property
    def headline(self) -> str:
        """Return `"IN_PROGRESS"`."""
        return "IN_PROGRESS"


@attrs.frozen(kw_only=True)
class Completed(_Status):
    """COMPLETED: the request succeeded, failed or was cancelled; fal has no other status for these (protocol 4.2).

    Attributes:
        request_id: fal's id of the request.
        metrics: measurements of the request, such as `inference_time` in seconds; may be empty.
        error: fal's description of the failure; None if the request succeeded.
        error_type: fal's machine-readable error type (protocol 9.2); None if the request succeeded.
        logs: the log entries that the server sent with this status.
        new_logs: those entries that are in no earlier status of the same `subscribe`, `wait` or `updates()`.
        raw: the whole response.
    """

    metrics: Mapping[str, Any] = attrs.field(factory=dict)
    error: str | None = attrs.field(default=None, repr=safe_repr)
    error_type: str | None = attrs.field(default=None, repr=safe_repr)

    @property
    def headline(self) -> str:
        """Return `"COMPLETED"`, or `"COMPLETED with an error"`."""
        return "COMPLETED" if self.error is None and self.error_type is None else "COMPLETED with an error"


@attrs.frozen(kw_only=True)
class UnknownStatus(_Status):
    """A status that this version of the package does not know. The request is not complete.

    Attributes:
        request_id: fal's id of the request.
        status: the unknown status word.
        logs: the log entries that the server sent with this status.
        new_logs: those entries that are in no earlier status of the same `subscribe`, `wait` or `updates()`.
        raw: the whole response.
    """

    status: str = attrs.field(default="", repr=safe_repr)

    @property
    def headline(self) -> str:
        """The unknown status word as one line; `"unknown"` if it is empty."""
        return one_line(self.status) or "unknown"


QueueStatus = Queued | InProgress | Completed | UnknownStatus
"""The status of a request. Distinguish the classes with `match` or `isinstance`."""


@attrs.frozen(kw_only=True)
class WorkflowEvent:
    """The common attributes of all events.

    Attributes:
        raw: the whole event, as fal sent it.
    """

    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, eq=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as fal sent it, for `sse_response` and other JSON."""
        return dict(self.raw)


@attrs.frozen(kw_only=True)
class WorkflowSubmit(WorkflowEvent):
    """A step of a workflow was handed to its model (protocol 15.2).

    Attributes:
        node_id: the node of the workflow; None if fal did not send it.
        app_id: the endpoint id of its model; None if fal did not send it.
        request_id: the step's own request id, with which `fal.queue.handle` follows it; None if fal did not send
            it.
        raw: the whole event, as fal sent it.
    """

    node_id: str | None = None
    app_id: str | None = None
    request_id: str | None = None


@attrs.frozen(kw_only=True)
class WorkflowCompletion(WorkflowEvent):
    """A step of a workflow is complete (protocol 15.2).

    Attributes:
        node_id: the node of the workflow; None if fal did not send it.
        app_id: the endpoint id of its model; None if fal did not send it.
        output: the whole output of the step, as decoded JSON; None if fal did not send it.
        raw: the whole event, as fal sent it.
    """

    node_id: str | None = None
    app_id: str | None = None
    output: Any = None


@attrs.frozen(kw_only=True)
class WorkflowOutput(WorkflowEvent):
    """The workflow is complete; the last event (protocol 15.2).

    Attributes:
        output: the output of the workflow: decoded JSON, or an instance of `output_type`.
        raw: the whole event, as fal sent it.
    """

    output: Any = None


@attrs.frozen(kw_only=True)
class WorkflowFailure(WorkflowEvent):
    """A step of a workflow has failed, which ends the workflow (protocol 15.2): the `detail` of a `StreamError`.

    Attributes:
        node_id: the node of the workflow; None if fal did not send it.
        message: fal's message, which names the step's request id; "" if fal did not send it.
        status: HTTP status of the step's response; None if fal did not send it.
        body: the body of the step's response, as decoded JSON; None if fal did not send it.
        raw: the whole event, as fal sent it.
    """

    node_id: str | None = None
    message: str = ""
    status: int | None = None
    body: Any = None


class Files(Protocol):
    """Uploads the files of inputs, and downloads those of outputs; implemented by `session/view_files.py`."""

    async def with_urls(
        self, input: Any, *, inline_below: int | None = None, sha256s: Sequence[str] | None = None
    ) -> Any:
        """Return the input as the model gets it: its files uploaded, and replaced by their URLs.

        Args:
            input: the caller's input.
            inline_below: files of fewer bytes are put into the input as `data:` URIs. None: all are uploaded.
            sha256s: the SHA-256 that each file must have after the upload. None: not checked.

        Raises:
            UploadError: a file can't be uploaded, or no longer has its SHA-256.
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
        """Fetch the files into `folder` concurrently, and return their paths.

        `take_equal`: whether an existing file with the same name and bytes is used instead of a second one.
        """
        ...


@short_tracebacks
@attrs.frozen(kw_only=True)
class Result(Generic[T_co, Id_co]):
    """The result of a request.

    Attributes:
        data: the output: decoded JSON, or an `output_type` built from it; `str` or `bytes` if the response of the
            model is text or binary.
        request_id: fal's id of the request; None if the response to a direct call had none.
        attempts: the number of HTTP requests by kind, such as `{"submit": 1, "status": 4, "result": 1}`.
        status: the final `Completed`; None for a direct call.
        logs: all log entries that were received, if the call had `logs=True`; else empty.
        headers: the headers of the response that had `data`, names in lower case.
        from_ledger: whether the result comes from the ledger, so that no request was sent and nothing is billed.
        cost: the cost by list price, in US dollars: the price of a billable unit times `billable_units`, exactly.
            None if fal did not send the units, or if the session does not know the price: a call does not fetch it.
            It is known for a day after `fal.platform.pricing(...)`, or after a batch, has fetched it. Of a result
            from the ledger: the cost that was stored with it.
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
        """Return the result as JSON-compatible values, for an HTTP response or a file.

        NaN becomes null, bytes base64, dates ISO 8601, records objects. `headers` are left out. A FastAPI handler
        may also return the result itself, which sends the same JSON.

        Returns:
            A dict with `request_id`, `data`, `metrics`, `billable_units`, `attempts` and `logs`.

        Raises:
            ConfigurationError: `data` contains a value that JSON can't represent.
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
        """Return every file in the output, in its order there: objects with a `url`, and strings that are URLs.

        A string is a file if it is exactly one URL, and its field's name indicates a file (`url`, `video_url`,
        `frame_urls`, `images`) or the URL has the suffix of a media file (`.png`). URLs of services (`status_url`)
        and text by people (`prompt`, `caption`) are not files. An output that consists of bytes is one file.

        Returns:
            The files; empty if there are none.

        Raises:
            ResponseDecodeError: the output is nested too deeply.
        """
        if isinstance(self.data, bytes):
            return [whole_file(self.data, self.headers.get("content-type", ""))]
        return files_in(self.data)

    async def download(self, folder: str | PathLike[str], *, names: FileNames | None = None) -> list[Path]:
        """Fetch every file of the output into a folder, concurrently, and return their paths.

        Cancelling is safe: files that are complete stay, and no partial file is left.

        Args:
            folder: the folder, which is created if missing.
            names: a template such as `"cat-{n}{ext}"` (`{n}`: the position among the files, from 0; `{name}`: the
                server's name without its suffix; `{ext}`: the suffix with its dot), or a function of the
                `OutputFile` and its position. None (default): the server's names, made safe. Existing files are
                never overwritten: if a name exists already, the new file's name gets a number, in the order of the
                output.

        Returns:
            The paths, in the order of `files()`.

        Raises:
            DownloadError: some files could not be fetched: see its `missing`, `causes` and `paths`. All other files
                are in the folder.
            ConfigurationError: `folder` is not a path, or `names` is invalid. Nothing was sent.
            SessionStateError: the session is closed, or the result has no session because it was pickled or copied.
        """
        if self._files is None:
            raise SessionStateError(
                "this result does not belong to a session: use session.storage.download(...)"
            )
        return await self._files.download_all(self.files(), folder, names=names)

    def __getstate__(self) -> dict[str, Any]:
        # A pickle or a copy has no session.
        names = [field.name for field in attrs.fields(Result)]
        return {name: None if name == "_files" else getattr(self, name) for name in names}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the final status, such as `inference_time` (seconds); empty for a direct call."""
        return self.status.metrics if self.status else {}

    @property
    def billable_units(self) -> float | None:
        """The number of billed units (`x-fal-billable-units`, protocol 3.2), or None if fal did not send it."""
        try:
            units = float(self.headers["x-fal-billable-units"])
        except (KeyError, ValueError):
            return None
        return units if math.isfinite(units) else None

    if not TYPE_CHECKING:  # type checkers find these mistakes themselves

        def __class_getitem__(cls, of):
            return super().__class_getitem__(of if isinstance(of, tuple) else (of, str | None))

        def __getitem__(self, name):
            raise TypeError(
                f"a Result is not a mapping: the output is its .data, as in result.data[{name!r}]"
            )

        def __getattr__(self, name):
            hint = "" if name.startswith("_") else f": the output is its .data, as in result.data[{name!r}]"
            raise AttributeError(f"a Result has no attribute {name!r}{hint}")

        def __iter__(self):
            # FastAPI gets the fields of a returned value by `dict(value)`, as of a pydantic model.
            return iter(self.to_dict().items())

        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            # Validation accepts the value unchanged; JSON is `to_dict`. A schema is a plain dict: no import needed.
            written = {"type": "function-plain", "function": cls.to_dict, "return_schema": {"type": "dict"}}
            return {"type": "is-instance", "cls": cls, "serialization": written}
