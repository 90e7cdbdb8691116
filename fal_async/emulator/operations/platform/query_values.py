"""The values of a query or a JSON body, with a 400 for each that is wrong (protocol 11, 11.7)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from typing import Any

from fal_async.emulator.core import Call
from fal_async.emulator.operations.platform.platform_errors import invalid

MOST_VALUES = 50
"""How many values a list in a query may have."""


def listed(call: Call, name: str, *, most: int = MOST_VALUES) -> list[str]:
    """Return the values of a parameter that is repeated or has several values with commas, each once."""
    parts = [part for text in call.request.query.getall(name, []) for part in text.split(",")]
    values = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if len(values) > most:
        raise invalid(f"{name} has {len(values)} values: expected {most} at most")
    return values


def required(call: Call, name: str) -> list[str]:
    values = listed(call, name)
    if not values:
        raise invalid(f"{name} is required")
    return values


def choice(call: Call, name: str, allowed: Collection[str], default: str | None = None) -> str | None:
    """Return one of the allowed words, or the default if the parameter is missing."""
    word = call.query.get(name, default)
    if word is not None and word not in allowed:
        raise invalid(f"{name}={word!r}: expected one of {', '.join(allowed)}")
    return word


def flag(call: Call, name: str, *, default: bool = False) -> bool:
    return choice(call, name, ("true", "false"), str(default).lower()) == "true"


def number(call: Call, name: str, low: float, high: float) -> float:
    """Return a number, by default the lowest."""
    text = call.query.get(name, str(low))
    try:
        value = float(text)
    except ValueError:
        value = high + 1
    if not low <= value <= high:
        raise invalid(f"{name}={text!r}: expected a number from {low:g} to {high:g}")
    return value


def request_uuid(text: str) -> str:
    """Return a request id in its usual form."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise invalid(f"request_id={text!r}: expected a UUID") from None


def body_object(call: Call) -> dict[str, Any]:
    """Return the body, which must be a JSON object."""
    try:
        document = json.loads(call.body)
    except ValueError:
        raise invalid("the body is not JSON") from None
    if not isinstance(document, dict):
        raise invalid("the body is not a JSON object")
    return document


def text_member(document: dict[str, Any], name: str, longest: int) -> str:
    """Return a member of a body that is a str of 1 to `longest` characters."""
    value = document.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise invalid(f"{name}: expected a str of 1 to {longest} characters")
    return value
