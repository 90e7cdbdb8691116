"""From a request's path to its operation: pure. One origin serves all fal hosts, by the first path segment.

`/queue.fal.run/fal-ai/flux/requests/{id}/status` is fal's `https://queue.fal.run/fal-ai/flux/requests/{id}/status`.
An owner's name never has a dot, so a first segment with a dot is a host. Without one, the path is fal.run's.
A client whose DNS points fal's host names at the emulator names the host in its Host header instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import attrs

from fal_async.emulator.wire.storage_paths import StoragePath, parse_storage

ADMIN = "_emulator"
QUEUE_HOSTS = frozenset({"queue.fal.run", "queue.falrun.com"})
RUN_HOSTS = frozenset({"fal.run", "falrun.com"})
"""The second name of each set is the backup host (protocol 1.1)."""
_OTHER_HOSTS = {
    "rest.fal.ai": "rest",
    "rest.alpha.fal.ai": "rest",
    "v3.fal.media": "file",
    "v3b.fal.media": "file",
    "fal.media": "file",
    "kv.fal.media": "kv",
    "api.fal.ai": "platform",
    "fal.ai": "openapi",
    "auth.fal.ai": "token",
    "ws.fal.run": "websocket",
    "wma.fal.run": "wma",
    # Its servers are not emulated, so each path is unknown (protocol 16.1).
    "mcp.fal.ai": "unknown",
}
PLATFORM_HOST = "api.fal.ai"
_TOKEN_PATHS = frozenset({"tokens", "tokens/realtime"})
"""Both forms of a realtime token (protocol 6.2), on rest.fal.ai."""
FAL_DOMAINS = ("fal.run", "falrun.com", "fal.ai", "fal.media")
"""fal's domains. Every name below them is fal's, also one that the emulator does not serve."""
_BELOW = tuple(f".{domain}" for domain in FAL_DOMAINS)
FAL_HOSTS = QUEUE_HOSTS | RUN_HOSTS | _OTHER_HOSTS.keys()
_KEY_SET = ".well-known/jwks.json"
"""On both names of rest.fal.ai; the only public path there (protocol 8.3)."""
_RUN_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
"""fal's JS client sends other methods than POST, too (protocol 3). HEAD and OPTIONS run nothing."""
NAMESPACES = frozenset({"workflows", "comfy"})
_LEGACY_ID = re.compile(r"^(\d+)-([A-Za-z0-9][A-Za-z0-9-]*)$")
_PORT = re.compile(r":\d+$")
_TAILS = {
    (): ("GET", "result"),
    ("response",): ("GET", "result"),
    ("status",): ("GET", "status"),
    ("status", "stream"): ("GET", "status_stream"),
    ("cancel",): ("PUT", "cancel"),
}

OPERATIONS = (
    "run",
    "submit",
    "status",
    "status_stream",
    "result",
    "cancel",
    "file",
    "platform",
    "rest",
    "token",
    "openapi",
    "stream",
    "realtime",
    "realtime_token",
    "websocket",
    "cdn_token",
    "initiate",
    "upload",
    "multipart",
    "part",
    "complete",
    "gcs_part",
    "gcs_complete",
    "cdn_sign",
    "storage",
    "key_set",
    "kv",
    "wma",
)
"""The values of `Route.kind` that are operations of fal; others: "index", "admin", "unknown", "wrong_method"."""


@attrs.frozen(kw_only=True)
class Route:
    """What a request's path means.

    Attributes:
        kind: the operation.
        host: the host segment.
        rest: the path after the host.
        endpoint_id: the endpoint id in the path, usually without a sub-path in calls about one request; None if the
            path has none.
        request_id: the request id in the path; None if the path has none.
        storage: details of a storage operation; None for other operations.
    """

    kind: str
    host: str
    rest: str
    endpoint_id: str | None = None
    request_id: str | None = None
    storage: StoragePath | None = None


@lru_cache(256)
def parse(method: str, path: str, host: str = "") -> Route:
    """Return the route of a path. If `host` is one of fal's host names, it counts as the first segment.

    Cached, because submits of an endpoint and polls of a request repeat their path.
    """
    segments = [segment for segment in path.split("/") if segment]
    if is_fals(name := host_name(host)):
        segments.insert(0, name)
    if not segments:
        return Route(kind="index", host="", rest="")
    if segments[0] == ADMIN:
        return Route(kind="admin", host=ADMIN, rest="/".join(segments[1:]))
    return _route(method, segments.pop(0) if "." in segments[0] else "fal.run", segments)


@lru_cache(256)
def host_name(header: str) -> str:
    """Return a Host header without its port."""
    return _PORT.sub("", header).rstrip(".").lower()


def is_fals(name: str) -> bool:
    """Return whether a host name is fal's. An unknown one gets 404 and not another host's answer."""
    return name in FAL_HOSTS or name.endswith(_BELOW)


def _route(method: str, host: str, segments: list[str]) -> Route:
    if host in QUEUE_HOSTS:
        return _queue_route(method, host, segments)
    rest = "/".join(segments)
    if host in RUN_HOSTS:
        kind = "run" if method in _RUN_METHODS else "wrong_method"
        return Route(kind=kind, host=host, rest=rest, endpoint_id=normal_id(rest))
    kind = _OTHER_HOSTS.get(host, "unknown")
    if kind == "rest" and rest == _KEY_SET:
        return Route(kind="key_set", host=host, rest=rest)
    if kind == "rest" and rest in _TOKEN_PATHS:
        return Route(kind="realtime_token", host=host, rest=rest)
    endpoint_id = _without_tail(rest, "stream") if kind == "websocket" else None
    storage = parse_storage(method, kind, rest)
    kind = storage.kind if storage else kind
    return Route(kind=kind, host=host, rest=rest, endpoint_id=endpoint_id, storage=storage)


def refined(route: Route, method: str, headers: Mapping[str, str]) -> Route:
    """Return the route, changed if a call of fal.run is a stream or a WebSocket upgrade (protocol 3, 5.1, 6.1).

    The endpoint id of a stream or a realtime session is the path before `/stream` or `/realtime`.
    """
    if route.kind != "run":
        return route
    if headers.get("Upgrade", "").lower() == "websocket":
        return attrs.evolve(route, kind="realtime", endpoint_id=_without_tail(route.rest, "realtime"))
    if method == "POST" and _wants_events(route.rest, headers.get("Accept", "")):
        return attrs.evolve(route, kind="stream", endpoint_id=_without_tail(route.rest, "stream"))
    return route


def _wants_events(rest: str, accept: str) -> bool:
    return "text/event-stream" in accept.lower() or normal_id(rest) != _without_tail(rest, "stream")


def _without_tail(rest: str, tail: str) -> str:
    """Remove the tail of `owner/app/stream`, but not of `owner/stream`, which is an app of that name."""
    shorter = normal_id(rest.removesuffix(f"/{tail}"))
    return shorter if "/" in shorter else normal_id(rest)


def _queue_route(method: str, host: str, segments: list[str]) -> Route:
    rest = "/".join(segments)
    # "requests" comes after owner/app. Searching from the third segment on allows an app with the name "requests".
    if "requests" not in segments[2:]:
        kind = "submit" if method == "POST" else "wrong_method"
        return Route(kind=kind, host=host, rest=rest, endpoint_id=normal_id(rest))
    at = segments.index("requests", 2)
    wanted, kind = _TAILS.get(tuple(segments[at + 2 :]), ("", "unknown"))
    if kind != "unknown" and wanted != method:
        kind = "wrong_method"
    request_id = segments[at + 1] if len(segments) > at + 1 else None
    return Route(kind=kind, host=host, rest=rest, endpoint_id="/".join(segments[:at]), request_id=request_id)


@lru_cache(1024)
def normal_id(text: str) -> str:
    """Expand the legacy form `123-app` to `123/app` (protocol 2)."""
    legacy = _LEGACY_ID.match(text)
    return f"{legacy[1]}/{legacy[2]}" if legacy else text


@lru_cache(1024)
def app_id(endpoint_id: str) -> str:
    """Return `[namespace/]owner/app`, without the sub-path, as URLs about one request have it (protocol 2)."""
    parts = endpoint_id.split("/")
    return "/".join(parts[: 3 if parts[0] in NAMESPACES else 2])
