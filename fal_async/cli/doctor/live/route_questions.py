"""Questions about routes that are documented in part only. All of these calls cost nothing."""

from __future__ import annotations

from typing import Any

from fal_async.cli.doctor.live.live_requests import LiveRequests
from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.cli.doctor.live.observations import Observations
from fal_async.cli.doctor.live.question import Question
from fal_async.cli.doctor.live.shown_responses import shown
from fal_async.errors import FalError, one_line
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.options import JSON_HEADERS

_METHODS = ("get", "put", "post", "delete", "patch")


async def _execute(seen: Observations) -> str:
    """Send an empty chain, which can't run anything: the error names the keys that are missing."""
    requests = seen.requests
    url = f"{requests.wire.settings.hosts.run}/execute"
    response = await requests.send(
        HttpRequest(operation=Operation.RUN, method="POST", url=url, headers=JSON_HEADERS, body=b"{}")
    )
    places = _places(response)
    return f"{response.status} {one_line(', '.join(places), 60)}" if places else shown(response)


def _places(response: HttpResponse) -> list[str]:
    """Return the places that the entries of a `detail` name."""
    try:
        document = response.json()
    except FalError:
        return []
    detail = document.get("detail") if isinstance(document, dict) else None
    entries = [entry for entry in detail if isinstance(entry, dict)] if isinstance(detail, list) else []
    return [".".join(map(str, entry["loc"])) for entry in entries if isinstance(entry.get("loc"), list)]


async def _key_set(seen: Observations) -> str:
    response = await _public(seen.requests, f"{seen.requests.wire.settings.hosts.rest}/.well-known/jwks.json")
    keys = response.get("keys")
    if not isinstance(keys, list):
        return "200 without keys"
    kinds = sorted({f"{key.get('kty')} {key.get('crv')}" for key in keys if isinstance(key, dict)})
    return f"200, {len(keys)} keys: {', '.join(kinds)}"


async def _platform_document(seen: Observations) -> str:
    document = await _public(seen.requests, f"{seen.requests.wire.settings.hosts.platform}/openapi.json")
    paths = document.get("paths")
    if not isinstance(paths, dict):
        return "200 without paths"
    operations = [method for path in paths.values() for method in _METHODS if method in path]
    return f"{len(operations)} operations on {len(paths)} paths"


async def _public(requests: LiveRequests, url: str) -> dict[str, Any]:
    """Return the JSON object at a public URL, or raise NotSeenError."""
    response = await requests.send(HttpRequest(operation=Operation.READ, method="GET", url=url, auth=False))
    if response.status != 200:
        raise NotSeenError(shown(response))
    document = response.json()
    if not isinstance(document, dict):
        raise NotSeenError(f"200 with a {type(document).__name__}")
    return document


QUESTIONS = (
    Question(
        name="execute",
        section="14, no. 32",
        asks="error of an empty body at /execute",
        sheet="open: the names of its keys are known in part",
        ask=_execute,
    ),
    Question(
        name="key-set",
        section="14, no. 13",
        asks="keys of webhooks at the REST host",
        sheet="Ed25519 keys, at rest.fal.ai or rest.alpha.fal.ai",
        expected=("200, * keys: OKP Ed25519",),
        ask=_key_set,
    ),
    Question(
        name="platform-document",
        section="14, no. 37",
        asks="size of the platform's OpenAPI document",
        sheet="82 operations on 2026-08-21, 87 on 2026-10-04",
        ask=_platform_document,
    ),
)
