"""The errors of jsonschema in the words of pydantic and fal, which callers of models know (protocol 9.1)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from fal_async.emulator.schemas.normal_schema import is_null
from fal_async.emulator.wire.answers import detail_entry

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Loc = tuple[str | int, ...]
Entry = dict[str, Any]

_TYPES: Mapping[str, tuple[str, str]] = {
    "string": ("string_type", "Input should be a valid string"),
    "integer": ("int_type", "Input should be a valid integer"),
    "number": ("float_type", "Input should be a valid number"),
    "boolean": ("bool_type", "Input should be a valid boolean"),
    "array": ("list_type", "Input should be a valid list"),
    "object": ("dict_type", "Input should be a valid dictionary"),
    "null": ("none_required", "Input should be None"),
}
_LIMITS: Mapping[str, tuple[str, str, str]] = {
    "minimum": ("greater_than_equal", "ge", "Input should be greater than or equal to {}"),
    "maximum": ("less_than_equal", "le", "Input should be less than or equal to {}"),
    "exclusiveMinimum": ("greater_than", "gt", "Input should be greater than {}"),
    "exclusiveMaximum": ("less_than", "lt", "Input should be less than {}"),
    "multipleOf": ("multiple_of", "multiple_of", "Input should be a multiple of {}"),
    "minLength": ("string_too_short", "min_length", "String should have at least {} characters"),
    "maxLength": ("string_too_long", "max_length", "String should have at most {} characters"),
    "pattern": ("string_pattern_mismatch", "pattern", "String should match pattern '{}'"),
    # fal's own words for pydantic's too_short and too_long.
    "minItems": ("sequence_too_short", "min_length", "List should have at least {} items after validation"),
    "maxItems": ("sequence_too_long", "max_length", "List should have at most {} items after validation"),
    "minProperties": ("too_short", "min_length", "Dictionary should have at least {} items after validation"),
    "maxProperties": ("too_long", "max_length", "Dictionary should have at most {} items after validation"),
}
"""Type, key of `ctx`, and message of the errors that state a limit."""
SCHEMA_ERRORS: frozenset[str] = frozenset(
    [name for name, _ in _TYPES.values()]
    + [name for name, _, _ in _LIMITS.values()]
    + ["int_from_float", "missing", "one_of", "extra_forbidden", "value_error"]
)
"""The types of errors that follow from a schema and the input alone."""


def entries_of(errors: Iterable[ValidationError], limit: int) -> list[Entry]:
    """Return the entries of a 422, at most `limit` of them."""
    # By place and type: jsonschema reports each missing name on its own, and a mistake once for each `allOf`.
    found: dict[Any, Entry] = {}
    for entry in islice(_entries(errors, ("body",)), 10 * limit):
        found.setdefault((*entry["loc"], entry["type"]), entry)
    return list(found.values())[:limit]


def _entries(errors: Iterable[ValidationError], start: Loc) -> Iterator[Entry]:
    for error in errors:
        loc = (*start, *error.relative_path)
        if error.validator in ("anyOf", "oneOf") and error.context:
            yield from _of_union(error, loc)
        else:
            yield from _of_rule(error, loc)


def _of_union(error: ValidationError, loc: Loc) -> Iterator[Entry]:
    """Yield the mistakes in the alternative of the value's type; if it is not one, in all, by their names.

    As in pydantic, null is not an alternative, and the name of an alternative ends `loc`.
    """
    alternatives: Any = error.validator_value
    by_index: dict[Any, list[ValidationError]] = defaultdict(list)
    for inner in error.context or ():
        by_index[inner.relative_schema_path[0]].append(inner)
    others = [index for index in by_index if not is_null(alternatives[index])] or list(by_index)
    near = [index for index in others if not any(map(_is_other_type, by_index[index]))]
    others = near if len(near) == 1 else others
    for index in others:
        name = () if len(others) == 1 else (_name(alternatives[index], index),)
        yield from _entries(by_index[index], (*loc, *name))


def _is_other_type(error: ValidationError) -> bool:
    return error.validator == "type" and not error.relative_path


def _name(schema: Any, index: int) -> str:
    """Return how pydantic names an alternative: by its class, or by its type."""
    if isinstance(schema, Mapping):
        for word in (schema.get("title"), str(schema.get("$ref", "")).rpartition("/")[2], schema.get("type")):
            if isinstance(word, str) and word:
                return word
    return str(index)


def _of_rule(error: ValidationError, loc: Loc) -> Iterator[Entry]:
    rule, wanted, value = str(error.validator), _any(error.validator_value), error.instance
    if rule == "type":
        yield from _wrong_type([wanted] if isinstance(wanted, str) else wanted, value, loc)
    elif rule == "required":
        for name in wanted:
            if name not in _any(value):
                yield detail_entry((*loc, name), "Field required", "missing", value)
    elif rule in ("enum", "const"):
        choices = wanted if rule == "enum" else [wanted]
        words = f"Input should be one of {', '.join(map(str, choices))}"
        yield detail_entry(loc, words, "one_of", value, {"expected": choices})
    elif rule == "additionalProperties" and wanted is False:
        for name in _extra(_any(value), _any(error.schema)):
            words = "Extra inputs are not permitted"
            yield detail_entry((*loc, name), words, "extra_forbidden", _any(value)[name])
    elif rule in _LIMITS:
        kind, key, words = _LIMITS[rule]
        yield detail_entry(loc, words.format(wanted), kind, value, {key: wanted})
    else:
        yield detail_entry(loc, f"Value error, it does not fit the schema ({rule})", "value_error", value)


def _extra(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    patterns = schema.get("patternProperties", {})
    for name in value:
        if name not in schema.get("properties", {}) and not any(re.search(each, name) for each in patterns):
            yield name


def _wrong_type(kinds: Sequence[str], value: Any, loc: Loc) -> Iterator[Entry]:
    kinds = [kind for kind in kinds if kind != "null"] or ["null"]
    for kind in kinds:
        name, words = _TYPES[kind]
        if kind == "integer" and isinstance(value, float):
            name, words = "int_from_float", f"{words}, got a number with a fractional part"
        yield detail_entry(loc if len(kinds) == 1 else (*loc, kind), words, name, value)


def _any(value: Any) -> Any:
    """Return the value. By jsonschema's types it may be unset, but not in the errors that `iter_errors` yields."""
    return value
