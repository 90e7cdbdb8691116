"""The login file of fal's command line: parsing it, and the HTTP request for a new token (protocol 1.4)."""

from __future__ import annotations

from urllib.parse import urlencode

import attrs

from fal_async.config import Hosts
from fal_async.errors import ResponseDecodeError
from fal_async.protocol.fields import jwt_expiry
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation

LEEWAY = 300.0
"""A token counts as expired this many seconds before its expiry."""
_CLIENT_ID = "TwXR51Vz8JbY8GUUMy6EyuVR0fTO7N4N"
"""The public client id of fal's command line at its login service."""


@attrs.frozen(kw_only=True)
class LoginFile:
    """The tokens in the login file."""

    refresh_token: str = attrs.field(repr=False)
    access_token: str | None = attrs.field(default=None, repr=False)


def parse_login_file(text: str) -> LoginFile | None:
    """Parse the login file: refresh token on line 1, access token on line 2. None without a refresh token."""
    lines = [line.strip() for line in text.splitlines()]
    if not lines or not lines[0]:
        return None
    return LoginFile(refresh_token=lines[0], access_token=lines[1] if len(lines) > 1 and lines[1] else None)


def is_fresh(token: str, now: float) -> bool:
    """Return whether an access token can still be used. `now`: Unix seconds."""
    expiry = jwt_expiry(token)
    return expiry is not None and now + LEEWAY < expiry


def refresh_request(hosts: Hosts, login: LoginFile) -> HttpRequest:
    """Return the HTTP request for a new access token."""
    form = {"grant_type": "refresh_token", "client_id": _CLIENT_ID, "refresh_token": login.refresh_token}
    return HttpRequest(
        operation=Operation.TOKEN,
        method="POST",
        url=f"{hosts.auth}/oauth/token",
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=urlencode(form).encode(),
        auth=False,
    )


def access_token_of(response: HttpResponse) -> str:
    """Return the new access token. Raise ResponseDecodeError without one."""
    document = response.json()
    token = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(token, str) or not token:
        raise ResponseDecodeError(
            "the login service returned no access token", paths=["required field missing @ $.access_token"]
        )
    return token
