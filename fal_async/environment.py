"""The only module that reads the environment for a session (`cli/proxy.py` reads one more variable)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import attrs

from fal_async.config import Hosts
from fal_async.errors import Secret


@attrs.frozen(kw_only=True, repr=False)
class Environment:
    """The settings from environment variables (protocol 1.3).

    Attributes:
        key: the fal key in FAL_KEY, or in FAL_KEY_ID and FAL_KEY_SECRET. None: they are not set, or are ignored
            because FAL_FORCE_AUTH_BY_USER is 1.
        key_from: the names of the variables that `key` comes from; "" if it is None.
        hosts: the base URLs of fal's services.
        home: the folder in which the `fal` command line stores its login.
        log: the value of FAL_LOG; None if unset.
        proxies: the names and values of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY. A lower-case name takes
            precedence.
    """

    key: str | None = attrs.field(default=None, repr=False)
    key_from: str = ""
    hosts: Hosts = attrs.field(factory=Hosts)
    home: str = "~/.fal"
    log: str | None = None
    proxies: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)


def from_env(environ: Mapping[str, str] | None = None) -> Environment:
    """Read the environment variables of (protocol 1.3), and those of HTTP proxies.

    Args:
        environ: the variables. None (default): those of this process.
    """
    environ = os.environ if environ is None else environ
    key, key_from = (None, "") if environ.get("FAL_FORCE_AUTH_BY_USER") == "1" else _key_of(environ)
    return Environment(
        key=key,
        key_from=key_from,
        hosts=_hosts_of(environ),
        home=environ.get("FAL_HOME_DIR") or "~/.fal",
        log=environ.get("FAL_LOG") or None,
        proxies=tuple(_proxies_of(environ)),
    )


def _proxies_of(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        # In a CGI script, HTTP_PROXY has the `Proxy` header of the incoming request, whose sender must not choose
        # the proxy.
        spellings = (
            [name.lower()] if name == "HTTP_PROXY" and "REQUEST_METHOD" in environ else [name.lower(), name]
        )
        found = next((spelt for spelt in spellings if spelt in environ), None)
        if found is not None and environ[found].strip():
            yield found, Secret(environ[found].strip())


def _key_of(environ: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the key, and the names of its variables."""
    if key := environ.get("FAL_KEY", "").strip():
        return key, "FAL_KEY"
    key_id, secret = (environ.get(name, "").strip(" \t\r\n\"'") for name in ("FAL_KEY_ID", "FAL_KEY_SECRET"))
    return (f"{key_id}:{secret}", "FAL_KEY_ID and FAL_KEY_SECRET") if key_id and secret else (None, "")


def _hosts_of(environ: Mapping[str, str]) -> Hosts:
    if base := environ.get("FAL_BASE_URL", "").strip():
        return Hosts.local(base)
    run = environ.get("FAL_RUN_HOST", "").strip()
    queue = environ.get("FAL_QUEUE_RUN_HOST", "").strip() or (f"queue.{run}" if run else "")
    openapi = environ.get("FAL_OPENAPI_HOST", "").strip()
    given = {"run": run, "queue": queue, "openapi": openapi}
    hosts = {name: f"https://{host}" for name, host in given.items() if host}
    if run:
        hosts["realtime"] = f"wss://{run}"
    return Hosts(**hosts)  # type: ignore[arg-type]  # all values are base URLs; `backup`, a bool, is not among them
