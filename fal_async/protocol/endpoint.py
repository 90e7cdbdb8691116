"""Endpoint ids (protocol 2), and endpoints with the types of their input and output."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Generic, get_origin

import attrs

from fal_async.errors import ConfigurationError, RequestRef, one_line
from fal_async.models import In_contra, T_co

NAMESPACES = frozenset({"workflows", "comfy"})
_AD_HOC = ["workflows", "execute"]
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LEGACY = r"(\d+)-([A-Za-z0-9][A-Za-z0-9-]*)"
_URL_HOSTS = frozenset({"fal.run", "queue.fal.run"})


@attrs.frozen(kw_only=True)
class EndpointId:
    """`[namespace/]owner/app[/path]`, such as `fal-ai/flux/dev`."""

    owner: str
    alias: str
    """The app's name, such as `flux`."""
    path: str = ""
    """The part after the app, such as `dev`, without leading or trailing slashes."""
    namespace: str | None = None
    app_id: str = attrs.field(init=False)
    """`[namespace/]owner/app`, for operations on one request, whose URLs do not have the path (protocol 2)."""
    full: str = attrs.field(init=False)
    """The whole id, for submit, run, stream and realtime."""
    ref: RequestRef = attrs.field(init=False, eq=False, repr=False)
    """The reference to a request of this endpoint before its request id is known."""
    types: Endpoint[Any, Any] | None = attrs.field(default=None, eq=False, repr=False)
    """The types of its input and output, if the caller passed an `Endpoint`."""

    def __attrs_post_init__(self) -> None:
        parts = [part for part in (self.namespace, self.owner, self.alias) if part]
        object.__setattr__(self, "app_id", "/".join(parts))
        object.__setattr__(self, "full", "/".join([*parts, self.path]) if self.path else self.app_id)
        object.__setattr__(self, "ref", RequestRef(endpoint_id=self.full))

    def __str__(self) -> str:
        return self.full

    def check_input(self, input: Any) -> None:
        """Raise ConfigurationError unless the input fits the input type: an instance, a mapping or None."""
        if self.types is None or input is None or isinstance(input, Mapping):
            return
        expected = self.types.input
        kind: Any = get_origin(expected) or expected
        if isinstance(kind, type) and (typing.is_typeddict(kind) or not isinstance(input, kind)):
            raise ConfigurationError(
                f"input is of type {type(input).__name__}: expected {_name_of(expected)} or a mapping, "
                f"for {one_line(self.full, 100)}"
            )

    def output_type(self, explicit: Any) -> Any:
        """Return the type to build from the output: the one that was passed to the call, else the endpoint's."""
        return self.types.output if explicit is None and self.types is not None else explicit

    @classmethod
    def parse(cls, endpoint_id: str | Endpoint[Any, Any], path: str = "") -> EndpointId:
        """Parse an endpoint id and append `path`, unless the id already ends with it.

        Raises ConfigurationError if either is malformed.
        """
        if isinstance(endpoint_id, Endpoint):
            return attrs.evolve(cls.parse(endpoint_id.id, path), types=endpoint_id)
        if not isinstance(endpoint_id, str) or not isinstance(path, str):
            wrong = path if isinstance(endpoint_id, str) else endpoint_id
            raise ConfigurationError(f"endpoint id {wrong!r}: expected str such as 'fal-ai/flux/dev'")
        endpoint = _parse(endpoint_id)
        return _with_path(endpoint, path) if path else endpoint


CHAIN = EndpointId(owner="execute", alias="")
"""The path of fallback chains on fal.run, which is not the id of a model (protocol 3.5)."""


def run_id(endpoint_id: str | Endpoint[Any, Any], path: str, method: str) -> EndpointId:
    """Parse the endpoint id of a direct call, which may also be that of a fallback chain."""
    if endpoint_id != CHAIN.full:
        return EndpointId.parse(endpoint_id, path)
    if path or method != "POST":
        raise ConfigurationError(
            "endpoint id 'execute': a fallback chain has no path=, and its method is POST"
        )
    return CHAIN


@lru_cache(maxsize=1024)
def _parse(text: str) -> EndpointId:
    segments = _strip_url(text.strip()).strip("/").split("/")
    if len(segments) == 1 and (legacy := re.fullmatch(_LEGACY, segments[0])):
        segments = [legacy[1], legacy[2]]
    # `workflows/execute` has no owner: it runs the workflow in its input (protocol 15.1).
    in_namespace = segments[0] in NAMESPACES and segments[:2] != _AD_HOC
    namespace = segments.pop(0) if in_namespace else None
    if len(segments) < 2 or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise ConfigurationError(
            f"endpoint id {text!r}: expected owner/app or owner/app/path, such as 'fal-ai/flux/dev'"
        )
    owner, alias, *path = segments
    return EndpointId(namespace=namespace, owner=owner, alias=alias, path="/".join(path))


def _strip_url(text: str) -> str:
    """Remove https://fal.run/ or https://queue.fal.run/. Raise ConfigurationError for other URLs."""
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    host, _, path = rest.partition("/")
    # Compared as str and not parsed, so that a port, a user or another spelling is refused.
    if scheme.lower() != "https" or host.lower() not in _URL_HOSTS:
        raise ConfigurationError(
            f"endpoint id {text!r}: expected 'owner/app', https://fal.run/... or https://queue.fal.run/..."
        )
    return path


def _with_path(endpoint: EndpointId, path: str) -> EndpointId:
    extra = path.strip("/")
    if not extra or endpoint.path == extra or endpoint.path.endswith("/" + extra):
        return endpoint
    if not all(_SEGMENT.fullmatch(segment) for segment in extra.split("/")):
        raise ConfigurationError(f"path {path!r}: expected segments of letters, digits, '.', '_' and '-'")
    whole = f"{endpoint.path}/{extra}" if endpoint.path else extra
    return attrs.evolve(endpoint, path=whole)


def _checked_id(value: Any) -> str:
    return EndpointId.parse(value).full


def _check_type(_: Any, field: Any, value: Any) -> None:
    is_type = isinstance(value, type) or get_origin(value) is not None
    if value is not None and value is not Any and not is_type:
        raise ConfigurationError(f"{field.name} is of type {type(value).__name__}: expected a class, or None")


@attrs.frozen(repr=False)
class Endpoint(Generic[In_contra, T_co]):
    """An endpoint with the types of its input and output.

    It is accepted wherever an endpoint id is. Type checkers infer the input and the output of each call from it:

        flux_dev = Endpoint("fal-ai/flux/dev", input=FluxDevInput, output=FluxDevOutput)
        result = await fal.subscribe(flux_dev, FluxDevInput(prompt="a cat"))
        result.data.images[0].url

    It can be compared, hashed and pickled. `str(endpoint)` is its id.

    Attributes:
        id: the endpoint id, such as `"fal-ai/flux/dev"`.
        input: the type of the input: an attrs class, a dataclass, a TypedDict, a pydantic model or a msgspec
            Struct. An instance of another class is refused before anything is sent. A mapping is accepted while the
            program runs, although type checkers accept it only for a TypedDict. None (default): any input.
        output: the type that the output is built as; for `stream`, each value. The `output_type` of a call takes
            precedence. It is checked by the first call. None (default): decoded JSON.

    Raises:
        ConfigurationError: the id is malformed, or `input` or `output` is not a type.
    """

    id: str = attrs.field(converter=_checked_id)
    input: type[In_contra] | None = attrs.field(default=None, kw_only=True, validator=_check_type)
    output: type[T_co] | None = attrs.field(default=None, kw_only=True, validator=_check_type)

    def __str__(self) -> str:
        """Return the endpoint id."""
        return self.id

    def __repr__(self) -> str:
        types = {"input": self.input, "output": self.output}
        shown = [f"{name}={_name_of(kind)}" for name, kind in types.items() if kind is not None]
        return f"Endpoint({', '.join([repr(self.id), *shown])})"


def _name_of(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and get_origin(kind) is None else one_line(kind, 60)
