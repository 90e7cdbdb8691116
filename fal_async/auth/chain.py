"""Choosing the source of a session's fal key."""

from __future__ import annotations

import os

from fal_async.auth.credentials import AskedKey, FixedKey, KeySource, NoKey
from fal_async.auth.key_text import authorization
from fal_async.checks import check_function
from fal_async.config import ANONYMOUS, Credentials, Hosts
from fal_async.environment import Environment
from fal_async.errors import ConfigurationError


def key_source(credentials: Credentials | None, env_key: str | None, home: str, hosts: Hosts) -> KeySource:
    """Return the source of the fal key: the argument, the environment, or the command line's login (protocol 1.4).

    Args:
        credentials: the argument of the session. None: not given.
        env_key: the key in the environment. None: not set.
        home: the folder of the command line's login.
        hosts: the base URLs, for the login service.

    Raises:
        ConfigurationError: `credentials` or `env_key` is malformed.
    """
    if credentials is ANONYMOUS:
        return NoKey()
    if callable(credentials):
        check_function("credentials", credentials, takes=())
        return AskedKey(credentials)
    if credentials is not None:
        if not isinstance(credentials, str):
            kind = type(credentials).__name__
            raise ConfigurationError(
                f"credentials is of type {kind}: expected 'key_id:key_secret', a function or ANONYMOUS"
            )
        return FixedKey(authorization(credentials))
    if env_key is not None:
        return FixedKey(authorization(env_key))
    from fal_async.auth.cli_login import CliLogin

    return CliLogin(home, hosts)


def place_of_key(environment: Environment) -> str | None:
    """Return where a session without `credentials` gets its key from: variables, or a login. None: nowhere."""
    if environment.key is not None:
        return environment.key_from
    from fal_async.auth.cli_login import login_path

    login = login_path(environment.home)
    return None if login is None or not os.path.exists(login) else "the login of fal's command line"
