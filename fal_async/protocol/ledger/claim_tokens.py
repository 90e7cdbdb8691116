"""The token of a claim, which is part of the webhook URL of its submit.

A claim is the ledger's note, written before a submit is sent, that a process is about to send it. Any account can
make fal sign a delivery to any URL. But only fal knows the token, so that a delivery with it is about the submit of
this claim, even if its request id is not known yet.
"""

from __future__ import annotations

import re
from typing import Literal

import attrs

from fal_async.errors import ConfigurationError

Purpose = Literal["wait", "event"]
"""Why fal is asked to call the receiver.

"wait": calls of `subscribe(mode="webhook")` wait for the outcome. "event": the caller has passed the receiver's URL
as `webhook_url`, so that `on_event` gets the outcome, too.
"""
_NAMES: dict[str, Purpose] = {"fal_wait": "wait", "fal_event": "event"}
"""The query parameters that have a token."""
_PARAMETER = re.compile(r"(?:^|&)(fal_wait|fal_event)=([A-Za-z0-9_-]{22})(?=&|$)")


@attrs.frozen(kw_only=True)
class ClaimToken:
    """The token of a claim: 128 random bits in URL-safe base64. `purpose`: see `Purpose`."""

    text: str = attrs.field(repr=False)
    purpose: Purpose


def url_with_token(url: str, token: ClaimToken) -> str:
    """Return a webhook URL with the token as its last query parameter. The rest of the URL is unchanged."""
    name = next(name for name, purpose in _NAMES.items() if purpose == token.purpose)
    base, sharp, fragment = url.partition("#")
    joint = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return f"{base}{joint}{name}={token.text}{sharp}{fragment}"


def token_in(query: object) -> ClaimToken | None:
    """Return the token in the query of the URL that fal has called; None if there is none.

    Raises ConfigurationError if `query` is not a str.
    """
    if not isinstance(query, str):
        raise ConfigurationError(
            f"query is of type {type(query).__name__}: expected the query of the URL as a str, such as 'a=1'"
        )
    found = list(_PARAMETER.finditer(query.removeprefix("?")))
    return ClaimToken(text=found[-1][2], purpose=_NAMES[found[-1][1]]) if found else None
