"""How long a stored file lives and who may read it (protocol 7.4): pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

HEADERS = ("X-Fal-Object-Lifecycle", "X-Fal-Object-Lifecycle-Preference")
"""Both names are in use, differing per client (protocol 7.4, 14 no. 9). The first wins if both are sent."""
DECISIONS: Mapping[str, int] = {"allow": 200, "forbid": 403, "hide": 404}
"""Each decision with the status that a reader gets."""
_UNSET = object()


@attrs.frozen(kw_only=True)
class Acl:
    default: str = "allow"
    rules: tuple[tuple[str, str], ...] = ()
    """Nickname and decision, for accounts other than the owner, who may always read."""

    @classmethod
    def from_json(cls, document: Any) -> Acl:
        """`{"default", "rules": [{"user", "decision"}]}`. ValueError says what is wrong."""
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
        """Several rules of one user: the most permissive one wins. None: a reader without a name."""
        decided = [DECISIONS[decision] for user, decision in self.rules if user == reader]
        return min(decided, default=self.status_for_strangers)


def _decision(value: Any) -> str:
    if not isinstance(value, str) or value not in DECISIONS:
        raise ValueError(f"{value!r} is no decision: expected one of {', '.join(DECISIONS)}")
    return value


@attrs.frozen(kw_only=True)
class Lifecycle:
    expires_in: int | None = None
    """Seconds; None: it stays."""
    acl: Acl = attrs.field(factory=Acl)

    @classmethod
    def from_json(cls, document: Any, default: Lifecycle | None = None) -> Lifecycle:
        """What is left out comes from `default`, the account's; JSON null asks for no expiry (7.4)."""
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
    """0 and null mean no expiry (7.4)."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expiration_duration_seconds={value!r}: expected whole seconds or null")
    return value or None


def lifecycle_of(headers: Mapping[str, str], default: Lifecycle | None = None) -> Lifecycle:
    """What the request's headers ask for. ValueError where they can't be read."""
    text = next((headers[name] for name in HEADERS if name in headers), None)
    if text is None:
        return default or Lifecycle()
    try:
        return Lifecycle.from_json(json.loads(text), default)
    except ValueError as error:
        raise ValueError(f"Invalid {HEADERS[0]} header: {error}") from error
