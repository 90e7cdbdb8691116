"""Checks that there is an API key, before the command starts to work."""

from __future__ import annotations

import os

from fal_async.auth.chain import key_source
from fal_async.auth.cli_login import login_path
from fal_async.auth.key_text import NO_KEY
from fal_async.environment import from_env
from fal_async.errors import ConfigurationError


def check_key() -> None:
    """Raise ConfigurationError if there is no API key and no login, or if the API key is malformed."""
    environment = from_env()
    key_source(None, environment.key, environment.home, environment.hosts)
    login = login_path(environment.home)
    if environment.key is None and not (login is not None and os.path.exists(login)):
        raise ConfigurationError(NO_KEY)
