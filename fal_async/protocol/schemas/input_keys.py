"""Comparing the keys of an input with an endpoint's schema, before anything is sent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs

from fal_async.protocol.json_input import input_value
from fal_async.protocol.schemas.schema_fields import (
    all_of,
    alternatives,
    ordered_properties,
    required_names,
    resolved,
)
from fal_async.records import fields_of, is_record

_MORE_RULES = frozenset({"patternProperties", "dependentSchemas", "if", "unevaluatedProperties"})
"""Keywords by which a schema may allow keys that are not among its `properties`."""
_LISTED = 90
"""Maximum number of characters of the list of keys in a message."""
_DEEP = 10


@attrs.frozen(kw_only=True)
class _Keys:
    """The keys that a schema names. `known`: None if the schema allows others, too."""

    required: frozenset[str]
    known: frozenset[str] | None


def top_level_keys(input: Any) -> Collection[str]:
    """Return the keys of an input as they are sent: those of a mapping, also if their value is None.

    Of a record (attrs, dataclass, pydantic, msgspec), fields that are None are not sent, and the keys are the names
    in JSON. Raises ConfigurationError if the input is neither.
    """
    value = input_value(input)
    if is_record(value) and not isinstance(value, Mapping):
        value = fields_of(value, to_send=True)
    return [key for key in value if isinstance(key, str)] if isinstance(value, Mapping) else []


def key_problems(schema: Mapping[str, Any], given: Collection[str]) -> str:
    """Return in words which required keys are missing and which keys the schema does not know; "" if neither.

    Only the top level is compared. A key is unknown only if the schema names properties and does not allow others
    explicitly (by `additionalProperties`, patterns, ...). A required key is not missing if the schema has a default
    for it.
    """
    keys = _keys(schema, schema, _DEEP)
    meant = _unknown(keys, given)
    defaults = {name for name, member in ordered_properties(schema) if "default" in member}
    missing = [key for key in sorted(keys.required - defaults) if key not in {*given, *meant.values()}]
    words = [*_unknown_words(meant), *_words("missing", [repr(key) for key in missing])]
    if meant and not any(meant.values()):
        words += _listed(sorted(keys.known or ()))
    return "; ".join(words)


def unknown_keys(schema: Mapping[str, Any], given: Collection[str]) -> str:
    """Return in words which keys the schema of an object does not know, as `key_problems`; "" if none."""
    return "; ".join(_unknown_words(_unknown(_keys(schema, schema, _DEEP), given)))


def _unknown(keys: _Keys, given: Collection[str]) -> dict[str, str | None]:
    """Return the unknown keys, each with the known key that is probably meant, or None."""
    known = sorted(keys.known or ())
    return {key: _meant(key, known, given) for key in given if known and key not in known}


def _unknown_words(meant: Mapping[str, str | None]) -> Iterator[str]:
    return _words("unknown", [f"{key!r}{_hint(other)}" for key, other in meant.items()])


def _keys(root: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> _Keys:
    parts = list(all_of(root, schema))
    required = frozenset(name for part in parts for name in required_names(part))
    names = {name for part in parts for name in _mapping(part.get("properties"))}
    known = None if any(map(_allows_more, parts)) else frozenset(map(str, names))
    for part in parts:
        others = [
            each for each in alternatives(root, part) if each is not part and _may_be_object(root, each)
        ]
        choices = [_of_choice(root, each, depth - 1) for each in others]
        if choices:
            required |= frozenset.intersection(*(each.required for each in choices))
            known = _union([known, *(each.known for each in choices)])
    return _Keys(required=required, known=known)


def _of_choice(root: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> _Keys:
    """Return the keys of one alternative of the input. One that names no keys allows all."""
    keys = _keys(root, schema, depth) if depth else _Keys(required=frozenset(), known=None)
    return keys if keys.known or keys.required else _Keys(required=frozenset(), known=None)


def _may_be_object(root: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    kind = resolved(root, schema).get("type", "object")
    return kind == "object" or not isinstance(kind, str)


def _union(groups: list[frozenset[str] | None]) -> frozenset[str] | None:
    named = [group for group in groups if group is not None]
    return frozenset().union(*named) if len(named) == len(groups) else None


def _allows_more(schema: Mapping[str, Any]) -> bool:
    more = schema.get("additionalProperties", False)
    return (more is not False and more is not None) or not _MORE_RULES.isdisjoint(schema)


def _meant(key: str, known: Collection[str], given: Collection[str]) -> str | None:
    """Return the known key that is probably meant by an unknown one. None: no known key is similar."""
    from difflib import get_close_matches  # rarely needed, and slow to import

    by_letters = {_letters(name): name for name in known if name not in given}
    if close := get_close_matches(_letters(key), by_letters, n=1, cutoff=0.7):
        return by_letters[close[0]]
    words = set(key.lower().split("_"))
    longer = [name for name in by_letters.values() if words <= set(name.split("_"))]
    return longer[0] if len(longer) == 1 else None  # such as `num_inference_steps` for `steps`


def _letters(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


def _hint(meant: str | None) -> str:
    return "" if meant is None else f" (did you mean {meant!r}?)"


def _words(what: str, keys: list[str]) -> Iterator[str]:
    if keys:
        yield f"{what} key{'s' if len(keys) > 1 else ''} {', '.join(keys)}"


def _listed(known: list[str]) -> Iterator[str]:
    line = ", ".join(known)
    if len(line) <= _LISTED:
        yield f"its keys: {line}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
