"""The rules of a server-side proxy: routes, an allow-list of endpoints, limits (protocol 10)."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

import attrs

from fal_async.checks import check_int, checked
from fal_async.errors import ConfigurationError
from fal_async.protocol.endpoint import NAMESPACES

TARGET_HEADER = "x-fal-target-url"
DEFAULT_MAX_PROXIED_BODY = 32 * 1024 * 1024
"""Maximum size of a request's body in bytes, as in fal's own proxy (protocol 13)."""
_NEVER_FORWARDED = frozenset(
    {
        TARGET_HEADER,
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class ProxyRoute(enum.StrEnum):
    """The purpose of a target. The last four must be allowed explicitly, because they give more than a result."""

    RUN = "run"
    SUBMIT = "submit"
    STATUS = "status"
    RESULT = "result"
    CANCEL = "cancel"
    UPLOAD = "upload"
    MULTIPART = "multipart"
    """Multipart uploads: files of any size, at your cost."""
    TOKENS = "tokens"
    """Short-lived realtime tokens, only for apps that a pattern names: `me/poet`, not `me/*`."""
    CDN_TOKEN = "cdn_token"
    """CDN tokens, with which any kind of file can be stored."""
    WEBHOOK = "webhook"
    """`fal_webhook` in a submit, so that fal calls a URL that the browser chooses."""


ON_REQUEST = frozenset({ProxyRoute.MULTIPART, ProxyRoute.TOKENS, ProxyRoute.CDN_TOKEN, ProxyRoute.WEBHOOK})


class Refusal(Exception):
    """Raised if a request is not forwarded.

    `status`: the HTTP status of the response. `reason`: its text, which contains no part of the request.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status: int = status
        self.reason: str = reason


# The allow-list of endpoints.

_NAMED_INSIDE = ("execute", "workflows/execute")
"""Endpoints that run the models which their body names (protocol 3.5, 15.1)."""
_PATTERN_SEGMENT = re.compile(r"[A-Za-z0-9_.*-]+")


@attrs.frozen
class EndpointPattern:
    """A pattern of endpoint ids.

    `fal-ai/flux/dev` is one endpoint, `*` is any one segment (`fal-ai/*`), `/**` at the end is an app with all of
    its paths (`fal-ai/flux/**`), and `**` alone is every endpoint.
    """

    text: str
    _whole: re.Pattern[str] = attrs.field(init=False, repr=False, eq=False)
    _app: re.Pattern[str] = attrs.field(init=False, repr=False, eq=False)
    _alias: str | None = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        segments = self.text.split("/") if isinstance(self.text, str) else [""]
        good = all(_PATTERN_SEGMENT.fullmatch(s) and ("**" not in s or s == "**") for s in segments)
        if not good or "**" in segments[:-1] or (len(segments) < 2 and segments != ["**"]):
            raise ConfigurationError(
                f"endpoints: {self.text!r} is not a pattern: expected one such as 'fal-ai/flux/dev', "
                "'fal-ai/*' or 'fal-ai/flux/**', or '**' for all"
            )
        head = segments[: app_length(segments)]
        object.__setattr__(self, "_whole", _compiled(segments))
        object.__setattr__(self, "_app", _compiled(head))
        object.__setattr__(self, "_alias", None if "*" in head[-1] else head[-1])

    def allows(self, endpoint_id: str) -> bool:
        """Return whether an endpoint is allowed."""
        # An endpoint's stream and realtime paths are allowed if the endpoint is (protocol 2).
        plain = re.sub(r"/(stream|realtime)$", "", endpoint_id)
        for name in _NAMED_INSIDE:
            if f"{plain}/".startswith(f"{name}/"):  # of the wildcards only `**` includes these
                return self.text in ("**", name)
        return bool(self._whole.fullmatch(endpoint_id) or self._whole.fullmatch(plain))

    def allows_app(self, app_id: str) -> bool:
        """Return whether operations on a request are allowed. Their URLs name only the app (protocol 2)."""
        return bool(self._app.fullmatch(app_id))

    def allows_alias(self, alias: str) -> bool:
        """Return whether realtime tokens for an app are allowed. They name it without its owner (protocol 6.2).

        A wildcard would match the apps of every owner, so the pattern must name the app. `**` allows all.
        """
        return alias == self._alias or self.text == "**"


def app_length(segments: list[str]) -> int:
    """Return how many segments of an endpoint id name the app (protocol 2)."""
    return 3 if segments[0] in NAMESPACES else 2


def _compiled(segments: list[str]) -> re.Pattern[str]:
    if segments == ["**"]:
        return re.compile(r".+")
    parts = [re.escape(s).replace(r"\*", "[^/]*") for s in segments if s != "**"]
    return re.compile("/".join(parts) + ("(/.+)?" if segments[-1] == "**" else ""))


def _patterns(texts: Iterable[str]) -> tuple[EndpointPattern, ...]:
    if isinstance(texts, str):
        raise ConfigurationError(f"endpoints={texts!r}: expected a list of patterns, such as [{texts!r}]")
    patterns = tuple(EndpointPattern(text) for text in texts)
    if not patterns:
        raise ConfigurationError("endpoints is empty: expected at least one pattern (['**'] allows all)")
    return patterns


def _names(names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise ConfigurationError(f"headers={names!r}: expected a list of names, such as [{names!r}]")
    return frozenset(name.lower() for name in names)


def _routes(names: Iterable[str]) -> frozenset[ProxyRoute]:
    try:
        routes = frozenset(ProxyRoute(name) for name in names)
    except ValueError:
        routes = frozenset({ProxyRoute.RUN})
    if routes - ON_REQUEST:
        raise ConfigurationError(f"allow={list(names)}: expected any of {', '.join(sorted(ON_REQUEST))}")
    return routes


@attrs.frozen(kw_only=True)
class ProxyRules:
    """The rules by which a proxy forwards requests.

    Attributes:
        endpoints: patterns of endpoint ids (see `EndpointPattern`).
        allow: further routes, any of "multipart", "tokens", "cdn_token", "webhook"; default none.
        max_body: maximum size of a request body in bytes; default 32 MiB.
        headers: further request headers to forward, such as one that your own app reads; default none.
    """

    endpoints: tuple[EndpointPattern, ...] = attrs.field(converter=_patterns)
    allow: frozenset[ProxyRoute] = attrs.field(default=frozenset(), converter=_routes)
    max_body: int = attrs.field(default=DEFAULT_MAX_PROXIED_BODY, validator=checked(check_int, least=1))
    headers: frozenset[str] = attrs.field(default=frozenset(), converter=_names)

    def __attrs_post_init__(self) -> None:
        if forbidden := self.headers & _NEVER_FORWARDED:
            raise ConfigurationError(
                f"headers: {', '.join(sorted(forbidden))} must not be forwarded: remove it"
            )
