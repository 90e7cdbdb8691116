"""Checks that there is an API key, before the command starts to work."""

from __future__ import annotations

from fal_async.auth.chain import key_source, place_of_key
from fal_async.auth.key_text import NO_KEY
from fal_async.environment import from_env
from fal_async.errors import ConfigurationError


def check_key() -> None:
    """Raise ConfigurationError if there is no API key and no login, or if the API key is malformed."""
    environment = from_env()
    key_source(None, environment.key, environment.home, environment.hosts)
    if place_of_key(environment) is None:
        raise ConfigurationError(NO_KEY.removesuffix(", or pass credentials="))
