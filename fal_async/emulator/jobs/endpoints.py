"""Endpoints, and the table of all endpoints and mounted applications."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import attrs

from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.jobs.realtime_options import RealtimeOptions
from fal_async.emulator.jobs.served import Served, check_runners
from fal_async.emulator.wire.answers import Answer, json_answer, no_application, no_path
from fal_async.emulator.wire.routing import NAMESPACES, app_id, normal_id
from fal_async.emulator.wire.sse import whole

EndpointFunction = Callable[..., Any]
"""An async function, or an async generator function: a model that streams."""
M = TypeVar("M", bound=Served)
_ID = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_.-]+)+")


@attrs.frozen(kw_only=True, eq=False)
class Endpoint(Served):
    """A function under an endpoint id."""

    function: EndpointFunction
    takes_job: bool
    read: Callable[[Any], Any] | None = None
    """Checks an input, and returns what the function gets. None: the input as it is."""
    write: Callable[[Any], Any] | None = None
    """Returns a value of the function as JSON values. None: the value as it is."""
    document: Mapping[str, Any] | None = None
    """The OpenAPI document that is served for the endpoint. None: one that is made of its schemas."""
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    realtime: RealtimeOptions = attrs.field(factory=RealtimeOptions)
    streams: bool = attrs.field(init=False)
    """Whether the function is an async generator: determined once, because each call asks for it."""

    @streams.default
    def _streams(self) -> bool:
        return _is(inspect.isasyncgenfunction, self.function)

    async def call(self, input: Any, job: JobContext) -> Any:
        """Run the function and return its value, or the last value of a stream (protocol 5.1)."""
        if not self.streams:
            value = await self._start(input, job)
            return value if self.write is None else self.write(value)
        async with aclosing(self.stream(input, job)) as values:
            return whole([value async for value in values])

    def stream(self, input: Any, job: JobContext) -> AsyncGenerator[Any, None]:
        """Return the values of a model that streams."""
        values: AsyncGenerator[Any, None] = self._start(input, job)
        return values if self.write is None else _written(values, self.write)

    def _start(self, input: Any, job: JobContext) -> Any:
        if self.read is not None:
            input = self._read(self.read, input, job)
        return self.function(input, job) if self.takes_job else self.function(input)

    def _read(self, read: Callable[[Any], Any], input: Any, job: JobContext) -> Any:
        """Check an input, or each input of a session whose function gets several."""
        if job.via == "realtime" and self.realtime.client_streaming:
            return (read(one) async for one in input)
        if job.via == "realtime" and self.realtime.max_batch_size > 1:
            return [read(one) for one in input]
        return read(input)


async def _written(
    values: AsyncGenerator[Any, None], write: Callable[[Any], Any]
) -> AsyncGenerator[Any, None]:
    async with aclosing(values):
        async for value in values:
            yield write(value)


class EndpointTable(Generic[M]):
    """The endpoints and mounted applications; of applications it uses only the attributes of `Served`."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._mounts: dict[str, M] = {}

    def __iter__(self) -> Iterator[Served]:
        """Yield those that are listed, each id once: an endpoint takes precedence over an application."""
        served: dict[str, Served] = {**self._mounts, **self._endpoints}
        return (one for one in served.values() if one.listed)

    def add(self, endpoint: Endpoint) -> None:
        """Add an endpoint. It replaces an earlier one with the same id, as a new deployment does."""
        check_endpoint_id(endpoint.endpoint_id)
        check_runners(endpoint.runners)
        self._endpoints[endpoint.endpoint_id] = endpoint

    def restore(self, endpoint_id: str, before: Endpoint | None) -> None:
        """Serve an earlier endpoint again under its id. None: no endpoint."""
        if before is None:
            self._endpoints.pop(endpoint_id, None)
        else:
            self._endpoints[endpoint_id] = before

    def mount(self, mount: M) -> None:
        """Add an application. It replaces an earlier one with the same id, as a new deployment does."""
        self._mounts[mount.endpoint_id] = mount

    def mounted(self, path: str, endpoint_id: str | None) -> M | None:
        """Return the application that serves a path, or None if there is none or an endpoint serves it."""
        endpoint = self.find_used(path, endpoint_id)
        # An endpoint serves the path that ends in `/stream` only if it streams.
        is_its = endpoint is not None and (
            endpoint.endpoint_id == normal_id(path) or endpoint.streams or not path.endswith("/stream")
        )
        return None if is_its else self._mounts.get(app_id(normal_id(path)))

    def find(self, endpoint_id: str | None) -> Endpoint | None:
        return self._endpoints.get(endpoint_id or "")

    def serving(self, endpoint_id: str) -> Served | None:
        """Return the endpoint with an id, or the application that serves it; None if there is neither."""
        return self.find(endpoint_id) or self._mounts.get(app_id(endpoint_id))

    def find_used(self, path: str, endpoint_id: str | None) -> Endpoint | None:
        """Return the endpoint of a stream or session: the one with this path, or with the path before its tail."""
        return self.find(normal_id(path)) or self.find(endpoint_id)

    def missing(self, endpoint_id: str) -> Answer:
        """Return the 404 of an unknown application, or of an unknown path in a known one (protocol 9.3)."""
        app = app_id(endpoint_id)
        if any(endpoint.app_id == app for endpoint in self):
            return no_path(endpoint_id[len(app) + 1 :])
        return no_application(app.rpartition("/")[2] or app)

    def is_public(self, endpoint_id: str | None) -> bool:
        """Return whether an id is public. It may lack the sub-path, as in calls about one request."""
        if endpoint_id is None:
            return False
        if endpoint := self.find(endpoint_id) or self._mounts.get(app_id(endpoint_id)):
            return endpoint.public
        served = [endpoint for endpoint in self if endpoint.app_id == endpoint_id]
        return bool(served) and all(endpoint.public for endpoint in served)


def check_endpoint_id(endpoint_id: str) -> None:
    """Raise ValueError if a `str` is not the id of an endpoint."""
    # fal's queue uses `.../requests/{id}` for one request, so no path of an app can have that form.
    if not _ID.fullmatch(endpoint_id) or "requests" in endpoint_id.split("/")[2:]:
        raise ValueError(
            f"{endpoint_id!r} is not an endpoint id: expected owner/app or owner/app/path, "
            "without a dot in the owner and without 'requests' in the path"
        )


def check_app_id(app: str) -> None:
    """Raise ValueError if `app` is not the id of an app, or has a path below it."""
    wanted = 3 if app.partition("/")[0] in NAMESPACES else 2
    if not _ID.fullmatch(app) or app.count("/") + 1 != wanted:
        raise ValueError(
            f"{app!r} is not an app id: expected owner/app, such as me/my-app, without a dot in the owner and "
            "without a path, since the application serves all paths below"
        )


def check_function(function: EndpointFunction) -> bool:
    """Return whether a function takes a job as second argument. Raise TypeError if it cannot be an endpoint."""
    name = getattr(function, "__name__", repr(function))
    if not _is(inspect.iscoroutinefunction, function) and not _is(inspect.isasyncgenfunction, function):
        raise TypeError(
            f"{name} is not an async function: an endpoint is `async def {name}(input)` or `(input, job)`"
        )
    count = sum(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in inspect.signature(function).parameters.values()
    )
    if count not in (1, 2):
        raise TypeError(
            f"{name} takes {count} positional arguments: an endpoint takes (input) or (input, job)"
        )
    return count == 2


def _is(kind: Callable[[Any], bool], function: EndpointFunction) -> bool:
    # An object with an async __call__ is accepted as well.
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004


def to_answer(value: Any) -> Answer:
    """Return an endpoint's value as an HTTP answer: `str`, `bytes` and `Answer` unchanged, other values as JSON.

    Raise TypeError or ValueError if the value cannot be encoded as JSON.
    """
    if isinstance(value, Answer):
        return value
    if isinstance(value, bytes | bytearray):
        return Answer(200, {"Content-Type": "application/octet-stream"}, bytes(value))
    if isinstance(value, str):
        return Answer(200, {"Content-Type": "text/plain; charset=utf-8"}, value)
    return json_answer(value)
