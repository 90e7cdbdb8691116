"""The one place that reads the environment for a session. (`cli/proxy.py` has a variable of its own.)"""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs

from fal_async.config import Hosts


@attrs.frozen(kw_only=True, repr=False)
class Environment:
    """What the environment says (protocol 1.3)."""

    key: str | None = attrs.field(default=None, repr=False)
    hosts: Hosts = attrs.field(factory=Hosts)
    home: str = "~/.fal"
    """Where the `fal` command line keeps its login."""
    log: str | None = None


def from_env(environ: Mapping[str, str] | None = None) -> Environment:
    """Read FAL_KEY, FAL_KEY_ID, FAL_KEY_SECRET, FAL_BASE_URL, FAL_RUN_HOST and the others of protocol 1.3."""
    environ = os.environ if environ is None else environ
    return Environment(
        key=None if environ.get("FAL_FORCE_AUTH_BY_USER") == "1" else _key_of(environ),
        hosts=_hosts_of(environ),
        home=environ.get("FAL_HOME_DIR") or "~/.fal",
        log=environ.get("FAL_LOG") or None,
    )


def _key_of(environ: Mapping[str, str]) -> str | None:
    if key := environ.get("FAL_KEY", "").strip():
        return key
    key_id, secret = (environ.get(name, "").strip(" \t\r\n\"'") for name in ("FAL_KEY_ID", "FAL_KEY_SECRET"))
    return f"{key_id}:{secret}" if key_id and secret else None


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
    return Hosts(**hosts)  # type: ignore[arg-type]  # every value is a base URL, none is `backup`
