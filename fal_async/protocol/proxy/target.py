"""The target URL of a proxied request: parsing and checking it (protocol 10). It is stricter than fal's own proxy.

The grammar has only the URLs that fal's clients send: https, an exact host, plain path segments. A target that does
not match is refused, never repaired. A target that matches is built again from its parts, so that fal can't read
another URL than the one that was checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import attrs

from fal_async.config import Hosts
from fal_async.protocol.proxy.rules import (
    ON_REQUEST,
    TARGET_HEADER,
    ProxyRoute,
    ProxyRules,
    Refusal,
    app_length,
)

MAX_TOKEN_BODY = 16 * 1024
MAX_TOKEN_SECONDS = 300
MAX_CDN_TOKEN_SECONDS = 3600
_MAX_TARGET = 8192
_MAX_FIELDS = 64

# No user, port, fragment, or percent sign in the path, and no space or control character anywhere.
_TARGET = re.compile(r"https://([a-z0-9.-]+)((?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+)/?(?:\?([!-~]*))?")
_APP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_SERVICES: Mapping[str, str] = {"fal.run": "run", "queue.fal.run": "queue", "rest.fal.ai": "rest"}
_QUEUE_TAILS: Mapping[tuple[str, ...], tuple[str, ProxyRoute]] = {
    (): ("GET", ProxyRoute.RESULT),
    ("response",): ("GET", ProxyRoute.RESULT),
    ("status",): ("GET", ProxyRoute.STATUS),
    ("status", "stream"): ("GET", ProxyRoute.STATUS),
    ("cancel",): ("PUT", ProxyRoute.CANCEL),
}
_CDN = {"storage_type": "fal-cdn-v3"}
_REST_PATHS: Mapping[str, tuple[ProxyRoute, Mapping[str, str]]] = {
    "storage/upload/initiate": (ProxyRoute.UPLOAD, _CDN),
    "storage/upload/initiate-multipart": (ProxyRoute.MULTIPART, _CDN),
    "storage/upload/complete-multipart": (ProxyRoute.MULTIPART, _CDN),
    "storage/auth/token": (ProxyRoute.CDN_TOKEN, _CDN),
    "tokens": (ProxyRoute.TOKENS, {}),
    "tokens/realtime": (ProxyRoute.TOKENS, {}),
}
_QUERIES: Mapping[ProxyRoute, frozenset[str]] = {
    ProxyRoute.SUBMIT: frozenset({"fal_max_queue_length", "fal_webhook"}),
    ProxyRoute.STATUS: frozenset({"logs"}),
}


@attrs.frozen(kw_only=True)
class Target:
    """A parsed target. `query` was encoded again, and has no question mark."""

    route: ProxyRoute
    method: str
    service: str
    """A field of `Hosts`: "run", "queue" or "rest"."""
    path: str
    query: str = attrs.field(default="", repr=False)
    endpoint_id: str | None = None
    """The whole endpoint id, or only the app for operations on a request; None for storage and tokens."""
    request_id: str | None = None

    def url(self, hosts: Hosts) -> str:
        return f"{getattr(hosts, self.service)}{self.path}" + (f"?{self.query}" if self.query else "")


def find_target(method: str, values: list[str], rules: ProxyRules) -> Target:
    """Return the target. `values`: the target headers. Raise Refusal (400, 403 or 405) if it is not allowed."""
    if len(values) != 1:
        raise Refusal(400, f"expected exactly one {TARGET_HEADER} header")
    found = _TARGET.fullmatch(values[0]) if len(values[0]) <= _MAX_TARGET else None
    if found is None or found[1] not in _SERVICES:
        raise Refusal(400, f"{TARGET_HEADER} is not an https URL of a fal service")
    segments = found[2][1:].split("/")
    find = _FINDERS[_SERVICES[found[1]]]
    target = find(method, segments, rules)
    return attrs.evolve(target, query=_checked_query(target, found[3] or "", rules))


def _find_run(method: str, segments: list[str], rules: ProxyRules) -> Target:
    if method not in ("GET", "POST"):
        raise Refusal(405, "a direct call must be a GET or a POST")
    endpoint_id = _allowed_endpoint(segments, rules)
    return Target(
        route=ProxyRoute.RUN, method=method, service="run", path=f"/{endpoint_id}", endpoint_id=endpoint_id
    )


def _find_queue(method: str, segments: list[str], rules: ProxyRules) -> Target:
    # An app may be called "requests", so the search begins after its name, as fal parses ids (protocol 2).
    length = app_length(segments)
    if "requests" in segments[length:]:
        return _find_request(method, segments, segments.index("requests", length), rules)
    if method != "POST":
        raise Refusal(405, "a submit must be a POST")
    endpoint_id = _allowed_endpoint(segments, rules)
    return Target(
        route=ProxyRoute.SUBMIT,
        method=method,
        service="queue",
        path=f"/{endpoint_id}",
        endpoint_id=endpoint_id,
    )


def _find_request(method: str, segments: list[str], at: int, rules: ProxyRules) -> Target:
    id_and_tail = segments[at + 1 :]
    known = _QUEUE_TAILS.get(tuple(id_and_tail[1:]))
    if known is None or not id_and_tail or not _REQUEST_ID.fullmatch(id_and_tail[0]):
        raise Refusal(403, "this path of the queue is not forwarded")
    wanted, route = known
    if method != wanted:
        raise Refusal(405, f"this path must be called with {wanted}")
    endpoint_id = "/".join(segments[:at])
    is_app = at == app_length(segments)
    if not any(p.allows_app(endpoint_id) if is_app else p.allows(endpoint_id) for p in rules.endpoints):
        raise Refusal(403, "this endpoint is not allowed")
    return Target(
        route=route,
        method=method,
        service="queue",
        path="/" + "/".join(segments),
        endpoint_id=endpoint_id,
        request_id=id_and_tail[0],
    )


def _find_rest(method: str, segments: list[str], rules: ProxyRules) -> Target:
    path = "/".join(segments)
    route, _ = _REST_PATHS.get(path, (None, {}))
    if route is None or (route in ON_REQUEST and route not in rules.allow):
        raise Refusal(403, "this path is not forwarded")
    if method != "POST":
        raise Refusal(405, "this path must be called with POST")
    # "/tokens/" ends with a slash (protocol 6.2).
    return Target(
        route=route, method=method, service="rest", path=f"/{path}/" if path == "tokens" else f"/{path}"
    )


_FINDERS: Mapping[str, Callable[[str, list[str], ProxyRules], Target]] = {
    "run": _find_run,
    "queue": _find_queue,
    "rest": _find_rest,
}


def _allowed_endpoint(segments: list[str], rules: ProxyRules) -> str:
    endpoint_id = "/".join(segments)
    if not any(pattern.allows(endpoint_id) for pattern in rules.endpoints):
        raise Refusal(403, "this endpoint is not allowed")
    return endpoint_id


def _checked_query(target: Target, query: str, rules: ProxyRules) -> str:
    # Some servers treat a semicolon as an ampersand.
    if "#" in query or ";" in query:
        raise Refusal(400, "the query of the target is malformed")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise Refusal(400, "the query of the target is malformed") from None
    if target.service == "rest":
        allowed = dict(pairs) == _REST_PATHS[target.path.strip("/")][1] and len(pairs) < 2
    elif target.route is ProxyRoute.RUN:
        # The model's own parameters are allowed, but not those that fal's gateway reads (protocol 1.2, 3.1).
        allowed = not any(name.strip().lower().startswith("fal_") for name, _ in pairs)
    else:
        allowed = {name for name, _ in pairs} <= _QUERIES.get(target.route, frozenset())
    webhook = any(name == "fal_webhook" for name, _ in pairs)
    if not allowed or (webhook and ProxyRoute.WEBHOOK not in rules.allow):
        raise Refusal(403, "a query parameter of the target is not forwarded")
    return urlencode(pairs)


# Tokens. The body has their lifetime, and the apps that a realtime token is for (protocol 6.2, 7.1).

_LIFETIME: Mapping[str, str] = {"/tokens/": "token_expiration", "/tokens/realtime": "duration"}
"""For each path, the field with the lifetime. Without the field, fal would choose the lifetime."""


def checked_token_body(body: bytes, target: Target, rules: ProxyRules) -> bytes:
    """Return the body of a token request, encoded again.

    The lifetime of a CDN token is at most an hour, which is also the default here; fal's own default is days.
    Raises Refusal if an app is not allowed, if a lifetime is too long, or if a realtime token (at most 300 s) has
    none.
    """
    try:
        wanted = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refusal(400, "the body of a token request must be JSON") from None
    if not isinstance(wanted, dict):
        raise Refusal(400, "the body of a token request must be a JSON object")
    if target.route is ProxyRoute.CDN_TOKEN:
        wanted = {"expiration_seconds": MAX_CDN_TOKEN_SECONDS, **wanted}
        _check_lifetime(wanted, "expiration_seconds", MAX_CDN_TOKEN_SECONDS)
    else:
        _check_apps(wanted.get("allowed_apps"), rules)
        _check_lifetime(wanted, _LIFETIME[target.path], MAX_TOKEN_SECONDS, "allowed_apps")
    # Encoded again, so that fal reads the checked value of a repeated field.
    return json.dumps(wanted, separators=(",", ":")).encode()


def _check_apps(apps: Any, rules: ProxyRules) -> None:
    if not isinstance(apps, list) or not apps or not all(_is_app_allowed(app, rules) for app in apps):
        raise Refusal(
            403, "a token for these apps is not allowed: a pattern such as 'me/poet' must name each"
        )


def _check_lifetime(wanted: dict[str, Any], name: str, most: int, *others: str) -> None:
    if set(wanted) - {name, *others}:
        raise Refusal(403, "a field of the token request is not forwarded")
    seconds = wanted.get(name)
    if type(seconds) is not int or not 0 < seconds <= most:
        raise Refusal(403, f"{name} must be an int from 1 to {most} (seconds)")


def _is_app_allowed(app: Any, rules: ProxyRules) -> bool:
    if not isinstance(app, str) or not _APP.fullmatch(app):
        return False
    if "/" in app:
        return any(pattern.allows(app) for pattern in rules.endpoints)
    return any(pattern.allows_alias(app) for pattern in rules.endpoints)
