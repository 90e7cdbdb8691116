"""Who may read stored files, for how long, and the account's defaults (protocol 7.4, 11.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fal_async.checks import check_int, check_kind
from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.options import JSON_HEADERS
from fal_async.protocol.origins import without_query
from fal_async.protocol.storage.uploads import json_object, text_field
from fal_async.storage_settings import StorageSettings

MAX_SIGNED = 604_800
"""Maximum seconds for which a signed URL is valid: 7 days (protocol 7.4)."""


def sign_request(hosts: Hosts, url: str, expires_in: int) -> HttpRequest:
    check_int("expires_in", expires_in, least=1, most=MAX_SIGNED)
    body = encode_json({"expiration_seconds": expires_in})
    return _managing(hosts, "POST", _of_file("files/sign", url), body)


def parse_signed(response: HttpResponse) -> str:
    return text_field(json_object(response), "signed_url")


def get_acl_request(hosts: Hosts, url: str) -> HttpRequest:
    return _managing(hosts, "GET", _of_file("files/acl", url))


def set_acl_request(hosts: Hosts, url: str, acl: str | Mapping[str, Any]) -> HttpRequest:
    checked = StorageSettings(initial_acl=acl).to_wire().get("initial_acl")
    if checked is None:
        raise ConfigurationError(
            "acl=None: expected 'allow', 'forbid', 'hide' or a value returned by get_acl"
        )
    return _managing(hosts, "PUT", _of_file("files/acl", url), encode_json(checked))


def get_defaults_request(hosts: Hosts) -> HttpRequest:
    return _managing(hosts, "GET", "settings")


def set_defaults_request(hosts: Hosts, settings: StorageSettings) -> HttpRequest:
    """Return the request that sets the account's defaults.

    "never" is sent as null, which explicitly asks for no expiry. A setting that is None is not sent, and fal's API
    description says that fal clears it then (protocol 7.4).
    """
    check_kind("settings", settings, kind=StorageSettings)
    wire = settings.to_wire()
    if settings.expires_in == "never":
        wire["expiration_duration_seconds"] = None
    return _managing(hosts, "PUT", "settings", encode_json(wire))


def parse_access(response: HttpResponse) -> dict[str, Any]:
    return json_object(response)


def _of_file(path: str, url: str) -> str:
    if not isinstance(url, str) or not re.match(r"https?://", url):
        raise ConfigurationError(
            f"url={without_query(str(url))[:80]!r}: expected the http(s) URL of a stored file"
        )
    # fal wants the plain URL (protocol 7.4); an output's URL, or a signed one, may have a query.
    return f"{path}?url={quote(without_query(url), safe='')}"


def _managing(hosts: Hosts, method: str, path: str, body: bytes | None = None) -> HttpRequest:
    return HttpRequest(
        operation=Operation.READ if method == "GET" else Operation.WRITE,
        method=method,
        url=f"{hosts.platform}/storage/{path}",
        headers=JSON_HEADERS,
        body=body,
    )
