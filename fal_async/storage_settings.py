"""How long a stored file is kept and who may read it (protocol 7.4).

Citations such as (protocol 7.4) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.errors import ConfigurationError


class Decision(enum.StrEnum):
    """The decision of a file's access rule (protocol 7.4): a reader gets the file, a 403 or a 404."""

    ALLOW = "allow"
    FORBID = "forbid"
    HIDE = "hide"


_LIFETIMES: Mapping[str, int] = {
    # In seconds. 0 and null would mean "no expiry" (protocol 7.4).
    "immediate": 60,
    "1h": 3600,
    "1d": 86_400,
    "7d": 604_800,
    "30d": 2_592_000,
    "1y": 31_536_000,
}


def _check_lifetime(_: Any, __: Any, value: object) -> None:
    known = isinstance(value, str) and (value == "never" or value in _LIFETIMES)
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value is not None and not known and not number:
        names = ", ".join(["never", *_LIFETIMES])
        raise ConfigurationError(
            f"expires_in={value!r}: expected one of {names}, an int > 0 (seconds), or None"
        )


def _check_acl(_: Any, __: Any, value: object) -> None:
    if value is None:
        return
    try:
        _plain_acl(value)
    except (TypeError, ValueError, AttributeError, KeyError):
        raise ConfigurationError(
            "initial_acl: expected 'allow', 'forbid' or 'hide', or a mapping "
            "{'default': decision, 'rules': [{'user': name, 'decision': decision}]}"
        ) from None


def _plain_acl(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"default": Decision(value).value}
    if not isinstance(value, Mapping) or set(value) - {"default", "rules"}:
        raise ValueError("unknown keys")
    acl: dict[str, Any] = {"default": Decision(value["default"]).value} if "default" in value else {}
    if "rules" in value:
        acl["rules"] = [
            {"user": str(rule["user"]), "decision": Decision(rule["decision"]).value}
            for rule in value["rules"]
        ]
    return acl


@attrs.frozen(kw_only=True)
class StorageSettings:
    """How long a stored file is kept and who may read it (protocol 7.4).

    Attributes:
        expires_in: `"never"`, `"immediate"` (60 s), `"1h"`, `"1d"`, `"7d"`, `"30d"`, `"1y"`, or an int > 0 of
            seconds. None (default): the account's setting.
        initial_acl: who may read the file besides the account: `"allow"`, `"forbid"` or `"hide"` for all others, or
            a mapping `{"default": decision, "rules": [{"user": name, "decision": decision}]}`. None (default): the
            account's setting.

    Raises:
        ConfigurationError: a value is invalid.
    """

    expires_in: str | int | None = attrs.field(default=None, validator=_check_lifetime)
    initial_acl: str | Mapping[str, Any] | None = attrs.field(default=None, validator=_check_acl)

    def to_wire(self) -> dict[str, Any]:
        """Return the settings as fal's JSON object. "never" omits the lifetime, as fal's own clients do."""
        wire: dict[str, Any] = {}
        if self.expires_in not in (None, "never"):
            wire["expiration_duration_seconds"] = _LIFETIMES.get(str(self.expires_in), self.expires_in)
        if self.initial_acl is not None:
            wire["initial_acl"] = _plain_acl(self.initial_acl)
        return wire

    def header(self) -> str:
        """Return the settings as the value of fal's HTTP header: compact JSON."""
        return json.dumps(self.to_wire(), separators=(",", ":"))
