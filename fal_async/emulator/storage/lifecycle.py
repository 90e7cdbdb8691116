"""When a stored file expires, and who may read it (protocol 7.4): pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

HEADERS = ("X-Fal-Object-Lifecycle", "X-Fal-Object-Lifecycle-Preference")
"""Clients use either name (protocol 7.4, 14 no. 9). If both are sent, the first takes precedence."""
DECISIONS: Mapping[str, int] = {"allow": 200, "forbid": 403, "hide": 404}
"""The decisions of an ACL, each with the status that a reader gets."""
_UNSET = object()


@attrs.frozen(kw_only=True)
class Acl:
    """Who may read a file, besides its owner, who always may (protocol 7.4).

    Attributes:
        default: decision for readers without a rule: "allow" (default), "forbid" or "hide".
        rules: pairs of an account's nickname and a decision.
    """

    default: str = "allow"
    rules: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_json(cls, document: Any) -> Acl:
        """Read `{"default", "rules": [{"user", "decision"}]}`. Raise ValueError for any other document."""
        if not isinstance(document, dict):
            raise ValueError("an ACL is an object with 'default' and 'rules'")
        rules = document.get("rules") or []
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise ValueError("'rules' is a list of {'user', 'decision'}")
        return cls(
            default=_decision(document.get("default", "allow")),
            rules=tuple((str(rule.get("user", "")), _decision(rule.get("decision"))) for rule in rules),
        )

    def to_json(self) -> dict[str, Any]:
        rules = [{"user": user, "decision": decision} for user, decision in self.rules]
        return {"default": self.default, "rules": rules}

    @property
    def status_for_strangers(self) -> int:
        return DECISIONS[self.default]

    def status_for(self, reader: str | None) -> int:
        """Return the status that a reader gets; None is a reader without an account.

        Of several rules for one user, the most permissive one counts.
        """
        decided = [DECISIONS[decision] for user, decision in self.rules if user == reader]
        return min(decided, default=self.status_for_strangers)


def _decision(value: Any) -> str:
    if not isinstance(value, str) or value not in DECISIONS:
        raise ValueError(f"decision {value!r}: expected one of {', '.join(DECISIONS)}")
    return value


@attrs.frozen(kw_only=True)
class Lifecycle:
    """When a stored file expires, and who may read it (protocol 7.4).

    Attributes:
        expires_in: seconds until the file expires. None (default): it does not expire.
        acl: who may read the file; by default everyone.
    """

    expires_in: int | None = None
    acl: Acl = attrs.field(factory=Acl)

    @classmethod
    def from_json(cls, document: Any, default: Lifecycle | None = None) -> Lifecycle:
        """Read a lifecycle. Missing fields come from `default`; null seconds mean no expiry (7.4)."""
        default = default or cls()
        if not isinstance(document, dict):
            raise ValueError("a lifecycle is an object")
        seconds = document.get("expiration_duration_seconds", _UNSET)
        acl = document.get("initial_acl")
        return cls(
            expires_in=default.expires_in if seconds is _UNSET else _seconds(seconds),
            acl=default.acl if acl is None else Acl.from_json(acl),
        )

    def to_json(self) -> dict[str, Any]:
        return {"expiration_duration_seconds": self.expires_in, "initial_acl": self.acl.to_json()}


def _seconds(value: Any) -> int | None:
    """Return the seconds, or None for 0 and null, which mean no expiry (7.4)."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expiration_duration_seconds={value!r}: expected whole seconds or null")
    return value or None


def lifecycle_of(headers: Mapping[str, str], default: Lifecycle | None = None) -> Lifecycle:
    """Return the lifecycle in the headers of a request, or `default`. Raise ValueError for a bad header."""
    text = next((headers[name] for name in HEADERS if name in headers), None)
    if text is None:
        return default or Lifecycle()
    try:
        return Lifecycle.from_json(json.loads(text), default)
    except ValueError as error:
        raise ValueError(f"Invalid {HEADERS[0]} header: {error}") from error
