"""All kinds of fault by name. Each also has a constructor in `fault.py: Fault`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.faults.effect import Effect
from fal_async.emulator.faults.fault_fields import ANY
from fal_async.emulator.faults.insertions import ExtraEvent, ExtraFrame, WsClose
from fal_async.emulator.faults.interruptions import Close, Drip, Overtaken, Refuse, Reset, Stall, Truncate
from fal_async.emulator.faults.replacements import Balance, Html, OtherAnswer, Redirect, Vanish
from fal_async.emulator.faults.spoilt_answers import (
    Back,
    ContentType,
    Duplicate,
    ForeignUrls,
    Missing,
    Replace,
    Word,
    WrongJson,
)

_CONNECTION = (Refuse, Reset, Close, Stall, Drip, Truncate, Overtaken)
_ANSWER = (WrongJson, Html, ContentType, OtherAnswer, Balance, Vanish, Redirect)
_DOCUMENT = (Missing, Replace, Word, Back, Duplicate, ForeignUrls)
_STREAM = (ExtraEvent, ExtraFrame, WsClose)
KINDS: Mapping[str, type[Effect]] = {
    effect.kind: effect for effect in (*_CONNECTION, *_ANSWER, *_DOCUMENT, *_STREAM)
}


def fields_of(kind: str) -> frozenset[str]:
    """Return the fields of `Fault` that this kind uses, without those that select its calls."""
    return frozenset(field.name for field in attrs.fields(KINDS[kind]))


def _defaults_of(effect: type[Effect]) -> dict[str, Any]:
    return {field.name: field.default for field in attrs.fields(effect) if field.default is not attrs.NOTHING}


DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    kind: _defaults_of(effect) for kind, effect in KINDS.items() if _defaults_of(effect)
}
"""Defaults of a kind that differ from the default in `Fault`; the constructors of `Fault` have the same ones."""


def check_operation(kind: str, on: str) -> None:
    """Raise ValueError if a kind cannot change an operation.

    "any" is accepted for every kind; such a fault changes only the operations that the kind knows.
    """
    if on == ANY or KINDS[kind].knows(on):
        return
    known = ", ".join(name for name, effect in KINDS.items() if effect.knows(on))
    raise ValueError(f"a fault of kind {kind!r} cannot change {on!r}: expected one of {known}")
