"""Which API key a session uses, where it comes from, whether fal knows it, and what it may do. Never the key."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping

import attrs

from fal_async.auth.chain import key_source, place_of_key
from fal_async.cli.doctor.finding import Finding, Topic
from fal_async.cli.doctor.wire import Wire, open_wire
from fal_async.environment import Environment
from fal_async.errors import (
    ApiError,
    AuthenticationError,
    BalanceExhaustedError,
    ConfigurationError,
    FalError,
    PermissionDeniedError,
    RequestRef,
    one_line,
)
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.queue import rebuilt_urls, status_request

KEY = Topic("key")
_LIMIT = 4.0
"""Seconds for the two reads, which are made at the same time."""
_APP = "fal-ai/flux"
_SHOWN = 4
"""Characters of the key id that are shown: enough to find it in the dashboard, and of no use to a thief."""
_LONG = 16
"""Shorter ids are not shown, because a few characters would be a large part of them."""
_KEYS_PAGE = "make a key at https://fal.ai/dashboard/keys, and set FAL_KEY to it"
_TOP_UP = "top up at https://fal.ai/dashboard/billing"
_ASKED = "asked by a read that costs nothing"
NOT_ASKED = KEY.warning(
    "known to fal", "not asked, because the queue or the platform API was not reached", "see the hosts below"
)


def source_findings(environment: Environment, variables: Mapping[str, str]) -> Iterator[Finding]:
    """Yield where the key comes from. `variables`: the environment."""
    place = place_of_key(environment)
    try:
        key_source(None, environment.key, environment.home, environment.hosts)
    except ConfigurationError as error:
        yield KEY.problem("source", f"{place}: {error.message}", _KEYS_PAGE, about_credentials=True)
    else:
        if place is None:
            yield KEY.problem("source", "no key found", _KEYS_PAGE, about_credentials=True)
        else:
            yield KEY.ok("source", f"{place}{beginning_of(environment.key)}", source=place)
    yield from _contradictions(variables)


def beginning_of(key: str | None) -> str:
    """Return the first characters of the key id, in words; "" if it is short, or the key has no id."""
    key_id = (key or "").strip().strip("\"'`").partition(":")[0]
    # Without a colon it may be the secret.
    if ":" not in (key or "") or len(key_id) < _LONG or " " in key_id:
        return ""
    return f", key id {key_id[:_SHOWN]}..."


def _contradictions(variables: Mapping[str, str]) -> Iterator[Finding]:
    given = {name for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET") if variables.get(name, "").strip()}
    pair = {"FAL_KEY_ID", "FAL_KEY_SECRET"}
    if variables.get("FAL_FORCE_AUTH_BY_USER") == "1" and given:
        yield KEY.warning(
            "ignored",
            f"{' and '.join(sorted(given))}, because FAL_FORCE_AUTH_BY_USER is 1",
            "unset FAL_FORCE_AUTH_BY_USER to use the key",
        )
    elif "FAL_KEY" in given and given & pair:
        ignored = " and ".join(sorted(given & pair))
        yield KEY.warning("ignored", f"{ignored}, because FAL_KEY is set", f"unset FAL_KEY, or {ignored}")
    elif len(given & pair) == 1:
        (missing,) = pair - given
        yield KEY.warning(
            "ignored", f"{' '.join(given & pair)}, because {missing} is not set", f"set {missing}, too"
        )


async def known_findings(environment: Environment) -> list[Finding]:
    """Ask fal about the key by two reads, which cost nothing. It raises no FalError, and cancelling is safe."""
    try:
        # FAL_LOG has its own finding, and must not hide this one if it is invalid.
        async with open_wire(attrs.evolve(environment, log=None), _LIMIT) as wire:
            async with asyncio.timeout(_LIMIT):
                known, scope = await asyncio.gather(_known(wire), _scope(wire))
    except FalError as error:
        return [_not_asked("known to fal", error)]
    except ImportError as error:  # a broken installation of aiohttp, which is loaded only now
        reinstall = "pip install --force-reinstall fal-async"
        return [KEY.problem("known to fal", f"not asked: {one_line(error)}", reinstall)]
    except TimeoutError:
        return [KEY.warning("known to fal", f"fal did not answer within {_LIMIT:g} s", "try again later")]
    return [known] if known.about_credentials else [known, scope]


async def _known(wire: Wire) -> Finding:
    """Ask for the status of a request that does not exist: 404 shows a good key, 401 a bad one (protocol 1.2)."""
    request_id = str(uuid.uuid4())
    urls = rebuilt_urls(wire.settings.hosts, EndpointId.parse(_APP), request_id)
    request = status_request(urls.status, RequestRef(), logs=False)
    response = await wire.send(request)
    if response.status < 300 or (response.status == 404 and _is_from_fal(response)):
        return KEY.ok("known to fal", f"yes ({_ASKED})", known=True)
    if response.status == 404:
        return KEY.problem(
            "known to fal",
            "unknown: the answer 404 of the queue's host is not fal's",
            "check that the host is fal's",
        )
    error = error_of(request, response)
    return _refusal("known to fal", error) or KEY.warning(
        "known to fal",
        f"fal answered {response.status}: {error.message}",
        "try again later",
        status=response.status,
    )


def _is_from_fal(response: HttpResponse) -> bool:
    """Return whether a 404 is the queue's own (protocol 9.3): any other server answers 404, too."""
    try:
        document = response.json()
    except FalError:
        return False
    return isinstance(document, dict) and document.get("status") == "NOT_FOUND"


async def _scope(wire: Wire) -> Finding:
    """Read the account, for which an API key gets 403 (protocol 11.7)."""
    try:
        balance = (await wire.platform.account.billing()).current_balance
    except ApiError as error:
        return _without_admin(error)
    except FalError as error:
        return _not_asked("scope", error)
    if balance is not None and balance <= 0:
        return KEY.problem(
            "scope", "ADMIN; the account has no balance", _TOP_UP, about_credentials=True, scope="ADMIN"
        )
    return KEY.ok("scope", f"ADMIN: runs models, and reads usage, billing and keys ({_ASKED})", scope="ADMIN")


def _without_admin(error: ApiError) -> Finding:
    if isinstance(error, PermissionDeniedError) and not isinstance(error, BalanceExhaustedError):
        text = "API: runs models; usage, billing and keys need an ADMIN key"
        return KEY.ok("scope", f"{text} ({_ASKED})", scope="API")
    return _refusal("scope", error) or KEY.warning(
        "scope",
        f"unknown: the platform API answered {error.status}",
        "try again later",
        status=error.status,
    )


def _refusal(name: str, error: ApiError) -> Finding | None:
    if isinstance(error, BalanceExhaustedError):
        return KEY.problem(name, "yes, but the account has no balance", _TOP_UP, about_credentials=True)
    if isinstance(error, AuthenticationError):
        text = "no: fal refuses the key (401), because it is unknown, revoked or incomplete"
        return KEY.problem(name, text, _KEYS_PAGE, about_credentials=True, known=False)
    if isinstance(error, PermissionDeniedError):
        return KEY.problem(name, f"403: {error.message}", _KEYS_PAGE, about_credentials=True)
    return None


def _not_asked(name: str, error: FalError) -> Finding:
    # A ConfigurationError is about the login: other settings were read before.
    if isinstance(error, AuthenticationError | ConfigurationError):
        way_out = "run `fal auth login` again, or set FAL_KEY"
        return KEY.problem(name, f"not asked: {error.message}", way_out, about_credentials=True)
    return KEY.problem(name, f"not asked: {error.message}", "see the hosts below, and try again later")
