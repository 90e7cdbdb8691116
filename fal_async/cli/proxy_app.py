"""Builds the application that `fal-async proxy` serves, with the check of its callers."""

from __future__ import annotations

import argparse
import hmac

from fal_async.errors import ConfigurationError
from fal_async.integrations.proxy import Authorize, FalProxy, ProxyRequest

TOKEN_VARIABLE = "FAL_PROXY_TOKEN"


def make_app(options: argparse.Namespace, token: str) -> FalProxy:
    """Build the application.

    Raises ConfigurationError if neither a token nor `--anonymous` is given, or if a pattern is invalid.
    """
    if not options.anonymous and not token:
        raise ConfigurationError(
            f"callers need a token: set {TOKEN_VARIABLE}, or pass --anonymous, which lets everybody call"
        )
    return FalProxy(
        endpoints=options.endpoints,
        authorize=None if options.anonymous else _bearer(token),
        anonymous=options.anonymous,
        allow=options.allow,
        max_body=options.max_body,
    )


def _bearer(token: str) -> Authorize:
    expected = f"Bearer {token}".encode()

    def authorize(request: ProxyRequest) -> bool:
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        return hmac.compare_digest(given, expected)

    return authorize
