"""Endpoint ids (protocol 2)."""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

from fal_async.errors import ConfigurationError, RequestRef

NAMESPACES = frozenset({"workflows", "comfy"})
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

    def __attrs_post_init__(self) -> None:
        parts = [part for part in (self.namespace, self.owner, self.alias) if part]
        object.__setattr__(self, "app_id", "/".join(parts))
        object.__setattr__(self, "full", "/".join([*parts, self.path]) if self.path else self.app_id)
        object.__setattr__(self, "ref", RequestRef(endpoint_id=self.full))

    def __str__(self) -> str:
        return self.full

    @classmethod
    def parse(cls, endpoint_id: str, path: str = "") -> EndpointId:
        """Parse an endpoint id and append `path`, unless the id already ends with it.

        Raises ConfigurationError if either is malformed.
        """
        if not isinstance(endpoint_id, str) or not isinstance(path, str):
            wrong = path if isinstance(endpoint_id, str) else endpoint_id
            raise ConfigurationError(f"endpoint id {wrong!r}: expected str such as 'fal-ai/flux/dev'")
        endpoint = _parse(endpoint_id)
        return _with_path(endpoint, path) if path else endpoint


@lru_cache(maxsize=1024)
def _parse(text: str) -> EndpointId:
    segments = _strip_url(text.strip()).strip("/").split("/")
    if len(segments) == 1 and (legacy := re.fullmatch(_LEGACY, segments[0])):
        segments = [legacy[1], legacy[2]]
    namespace = segments.pop(0) if segments[0] in NAMESPACES else None
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
