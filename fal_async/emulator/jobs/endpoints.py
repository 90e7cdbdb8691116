"""What is served: one value per endpoint id, and the table they stand in."""

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
    function: EndpointFunction
    takes_job: bool
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    realtime: RealtimeOptions = attrs.field(factory=RealtimeOptions)

    @property
    def streams(self) -> bool:
        return _is(inspect.isasyncgenfunction, self.function)

    async def call(self, input: Any, job: JobContext) -> Any:
        """What it returns; of a model that streams the last value, which is the result (protocol 5.1)."""
        if not self.streams:
            return await self._begun(input, job)
        async with aclosing(self.stream(input, job)) as values:
            return whole([value async for value in values])

    def stream(self, input: Any, job: JobContext) -> AsyncGenerator[Any, None]:
        """The values of a model that streams."""
        values: AsyncGenerator[Any, None] = self._begun(input, job)
        return values

    def _begun(self, input: Any, job: JobContext) -> Any:
        return self.function(input, job) if self.takes_job else self.function(input)


class EndpointTable(Generic[M]):
    """The endpoints, and the mounted applications, of which it knows no more than `Served`."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._mounts: dict[str, M] = {}

    def __iter__(self) -> Iterator[Served]:
        """All that is served, each id once: an endpoint wins over an application of its id."""
        served: dict[str, Served] = {**self._mounts, **self._endpoints}
        return iter(served.values())

    def add(self, endpoint: Endpoint) -> None:
        """A second registration under the same id replaces the first, as a new deployment does."""
        # `.../requests/{id}` is how fal's queue names one request: no path of an app can look like it.
        if not _ID.fullmatch(endpoint.endpoint_id) or "requests" in endpoint.endpoint_id.split("/")[2:]:
            raise ValueError(
                f"{endpoint.endpoint_id!r} is no endpoint id: expected owner/app or owner/app/path, "
                "the owner without a dot, no 'requests' in the path"
            )
        check_runners(endpoint.runners)
        self._endpoints[endpoint.endpoint_id] = endpoint

    def mount(self, mount: M) -> None:
        """A second application under the same id replaces the first, as a new deployment does."""
        self._mounts[mount.endpoint_id] = mount

    def mounted(self, path: str, endpoint_id: str | None) -> M | None:
        """The application whose path this is; None where there is none, or an endpoint of its own serves it."""
        endpoint = self.find_used(path, endpoint_id)
        # An endpoint has its tail `/stream` only if it streams.
        is_its = endpoint is not None and (
            endpoint.endpoint_id == normal_id(path) or endpoint.streams or not path.endswith("/stream")
        )
        return None if is_its else self._mounts.get(app_id(normal_id(path)))

    def find(self, endpoint_id: str | None) -> Endpoint | None:
        return self._endpoints.get(endpoint_id or "")

    def find_used(self, path: str, endpoint_id: str | None) -> Endpoint | None:
        """The endpoint of a stream or session: one with exactly this path, or the one before its tail."""
        return self.find(normal_id(path)) or self.find(endpoint_id)

    def missing(self, endpoint_id: str) -> Answer:
        """The 404 that fits: an unknown application, or an unknown path in a known one (protocol 9.3)."""
        app = app_id(endpoint_id)
        if any(endpoint.app_id == app for endpoint in self):
            return no_path(endpoint_id[len(app) + 1 :])
        return no_application(app.rpartition("/")[2] or app)

    def is_public(self, endpoint_id: str | None) -> bool:
        """Also for an id without its sub-path: calls about one request name the app only."""
        if endpoint_id is None:
            return False
        if endpoint := self.find(endpoint_id) or self._mounts.get(app_id(endpoint_id)):
            return endpoint.public
        served = [endpoint for endpoint in self if endpoint.app_id == endpoint_id]
        return bool(served) and all(endpoint.public for endpoint in served)


def check_app_id(app: str) -> None:
    """ValueError where it is none, or the id of a path within an app."""
    wanted = 3 if app.partition("/")[0] in NAMESPACES else 2
    if not _ID.fullmatch(app) or app.count("/") + 1 != wanted:
        raise ValueError(
            f"{app!r} is no app id: expected owner/app, such as me/my-app, the owner without a dot; "
            "every path below it is the application's"
        )


def check_function(function: EndpointFunction) -> bool:
    """Whether it takes the job as its second argument. TypeError where it can't serve an endpoint."""
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
    # An object with an async __call__ serves as well.
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004


def to_answer(value: Any) -> Answer:
    """What an endpoint returned, as HTTP: text and bytes as they are, an `Answer` as it says, else as JSON.

    TypeError or ValueError where JSON can't carry it.
    """
    if isinstance(value, Answer):
        return value
    if isinstance(value, bytes | bytearray):
        return Answer(200, {"Content-Type": "application/octet-stream"}, bytes(value))
    if isinstance(value, str):
        return Answer(200, {"Content-Type": "text/plain; charset=utf-8"}, value)
    return json_answer(value)
