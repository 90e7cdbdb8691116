"""The application that `fal-async proxy` serves: who may call it, and whether it has a key."""

from __future__ import annotations

import argparse
import hmac
import os

from fal_async.auth.chain import key_source
from fal_async.auth.cli_login import login_path
from fal_async.auth.key_text import NO_KEY
from fal_async.environment import from_env
from fal_async.errors import ConfigurationError
from fal_async.integrations.proxy import Authorize, FalProxy, ProxyRequest

TOKEN_VARIABLE = "FAL_PROXY_TOKEN"


def check_key() -> None:
    """ConfigurationError at the start, in place of an error for each caller."""
    environment = from_env()
    key_source(None, environment.key, environment.home, environment.hosts)
    login = login_path(environment.home)
    if environment.key is None and not (login is not None and os.path.exists(login)):
        raise ConfigurationError(NO_KEY)


def make_app(options: argparse.Namespace, token: str) -> FalProxy:
    """ConfigurationError where nobody could call, or a pattern is wrong."""
    if not options.anonymous and not token:
        raise ConfigurationError(f"set {TOKEN_VARIABLE}, or say --anonymous: everybody may then call")
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
