"""The environment variables that matter: names, and the values of those that hold no secret."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from fal_async.cli.doctor.finding import Finding, Topic
from fal_async.config import is_proxy_url
from fal_async.environment import Environment, from_env
from fal_async.errors import ConfigurationError, one_line
from fal_async.session.logs import turn_on_logs

VARIABLES, PROXIES = Topic("variables"), Topic("proxies")
_HOSTS = ("FAL_BASE_URL", "FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST", "FAL_OPENAPI_HOST")
_SHOWN = (*_HOSTS, "FAL_HOME_DIR", "FAL_FORCE_AUTH_BY_USER", "FAL_LOG")
"""Variables whose values hold no secret."""
_HIDDEN = ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FAL_PROXY_TOKEN")
_TLS = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def environment_of(variables: Mapping[str, str]) -> tuple[Environment, Finding | None]:
    """Return the settings in the environment; if the hosts in it are invalid, fal's own, and a problem."""
    try:
        return from_env(variables), None
    except ConfigurationError as error:
        wrong = [name for name in _HOSTS if variables.get(name, "").strip()]
        problem = VARIABLES.problem(
            "hosts",
            f"{' or '.join(wrong)} is invalid: {error.message}",
            "correct or unset the variable: sessions raise this error. No host was asked, and no key was sent",
        )
        others = {name: value for name, value in variables.items() if name not in _HOSTS}
        return from_env(others), problem


def variable_findings(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the variables of fal_async that are set, and those that look like one of them."""
    names = sorted(name for name in variables if name.upper().startswith("FAL_"))
    for name in (*names, *(name for name in _TLS if name in variables)):
        yield _variable(name, variables[name])
    if not names:
        yield VARIABLES.ok("FAL_*", "none is set")


def _variable(name: str, value: str) -> Finding:
    if name in _HIDDEN:
        return VARIABLES.ok(name, "is set" if value.strip() else "is set, but empty")
    if name == "FAL_LOG":
        return _log_level(value)
    if name in _HOSTS and "@" in value:
        return VARIABLES.ok(name, "is set (not shown, because it has a user name)")
    if name in _SHOWN:
        return VARIABLES.ok(name, one_line(value))
    if name in _TLS:
        return _certificates(name, value)
    near = difflib.get_close_matches(name.upper(), (*_SHOWN, *_HIDDEN), n=1, cutoff=0.75)
    if not near:
        return VARIABLES.ok(name, "is set; fal_async does not read it")
    return VARIABLES.warning(
        name, "is set, but fal_async does not read it", f"did you mean {near[0]}? Then rename it"
    )


def _log_level(value: str) -> Finding:
    try:
        turn_on_logs(value or None)
    except ConfigurationError as error:
        return VARIABLES.problem(
            "FAL_LOG", error.message, "correct or unset it: sessions raise this error when they open"
        )
    return VARIABLES.ok("FAL_LOG", value)


def _certificates(name: str, value: str) -> Finding:
    if os.path.exists(value):
        return VARIABLES.ok(name, f"{one_line(value)} (certificates that replace those of the system)")
    return VARIABLES.problem(
        name,
        f"{one_line(value)} does not exist, so that no certificate is trusted",
        f"correct or unset {name}",
    )


def proxy_findings(environment: Environment) -> Iterator[Finding]:
    """Yield the HTTP proxies in the environment, without user and password."""
    for name, value in environment.proxies:
        yield PROXIES.ok(name, one_line(value)) if name.lower() == "no_proxy" else _proxy(name, value)
    if not environment.proxies:
        yield PROXIES.ok("HTTP proxies", "none in the environment")
    elif urlsplit(environment.hosts.queue).hostname in ("localhost", "127.0.0.1", "::1"):
        yield PROXIES.ok("this machine", "is reached directly, as the hosts are on it")


def _proxy(name: str, value: str) -> Finding:
    url = value if "://" in value else f"http://{value}"
    if not is_proxy_url(url):
        return PROXIES.problem(
            name,
            "does not name an HTTP proxy (its value is not shown)",
            "expected http://[user:password@]host[:port]; SOCKS is not supported",
        )
    parts = urlsplit(url)
    user = " with a user" if parts.username else ""
    return PROXIES.ok(name, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{user}")
