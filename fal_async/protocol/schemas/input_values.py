"""Comparing the values of an input with an endpoint's JSON schema, before anything is sent. It uses jsonschema."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fal_async.errors import ConfigurationError, one_line
from fal_async.protocol.json_input import encode_json, input_value
from fal_async.protocol.schemas.nested_keys import Place, nested_unknown_keys
from fal_async.protocol.schemas.schema_fields import alternatives, limit_words, resolved, type_text
from fal_async.protocol.storage.input_files import places_of, replace_files

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

logger: logging.Logger = logging.getLogger("fal_async")
_FILE = "https://v3.fal.media/files/file"
"""What stands for the URL of a file that is not uploaded yet."""
_SHOWN = 3
"""Maximum number of problems in a message."""
_CHOICES = 60
"""Maximum number of characters of the allowed values in a message."""
_TYPES = {str: "str", bool: "bool", int: "int", float: "float", dict: "a mapping", list: "a list"}


def check_is_installed() -> None:
    """Raise ConfigurationError if jsonschema is not installed."""
    try:
        import jsonschema  # noqa: F401
    except ImportError as error:
        words = 'check="schema" needs jsonschema: pip install \'fal-async[schema]\', or use check="required"'
        raise ConfigurationError(words) from error


def value_problems(schema: Mapping[str, Any], input: Any) -> str:
    """Return in words which values do not fit the schema, with their places; "" if none.

    Unknown keys of objects within the input are included; those of the input itself are not (see `key_problems`).
    Files fit everywhere, because they are sent as URLs. The words contain no values of the input. Values are not
    compared if the schema itself is invalid.

    Raises ConfigurationError if JSON can't represent the input.
    """
    value = input_value(input)
    _, files = places_of(value)
    document = json.loads(encode_json(replace_files(value, lambda _: _FILE) if files else value))
    try:
        found = [f"{_text(place)}: {words}" for place, words in nested_unknown_keys(schema, schema, document)]
        found += dict.fromkeys(_problems(schema, document, files))
    except Exception as error:  # of jsonschema: an unknown type, an invalid pattern, endless references
        logger.debug("values are not checked, as fal's schema can't be used: %s", one_line(repr(error)))
        return ""
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "; ".join([*found[:_SHOWN], *more])


def _problems(schema: Mapping[str, Any], document: Any, files: Sequence[Place]) -> Iterator[str]:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # An empty registry, so that nothing is ever fetched.
    validator = Draft202012Validator(schema, registry=Registry())
    for place, words in _described(schema, validator.iter_errors(document)):
        if place not in files:
            yield f"{_text(place)}: {words}"


def _described(root: Mapping[str, Any], errors: Iterable[ValidationError]) -> Iterator[tuple[Place, str]]:
    for error in errors:
        if error.validator in ("anyOf", "oneOf"):
            yield from _of_union(root, error)
        elif words := _words(root, error):
            yield tuple(error.absolute_path), words


def _of_union(root: Mapping[str, Any], error: ValidationError) -> Iterator[tuple[Place, str]]:
    """Describe a value that fits no alternative: by the only alternative of its type, else by all of them."""
    by_branch: dict[Any, list[ValidationError]] = defaultdict(list)
    for inner in error.context or ():
        by_branch[inner.schema_path[0]].append(inner)
    near = [errors for errors in by_branch.values() if not any(map(_is_other_type, errors))]
    if len(near) == 1:
        yield from _described(root, near[0])
    elif (
        by_branch
    ):  # without one, the value fits several alternatives of `oneOf`, which may overlap by mistake
        yield tuple(error.absolute_path), _expected(root, error)


def _is_other_type(error: ValidationError) -> bool:
    return not error.relative_path and error.validator in ("type", "enum", "const")


def _words(root: Mapping[str, Any], error: ValidationError) -> str:
    limit, value = str(error.validator), error.validator_value
    if limit in ("type", "enum", "const"):
        return _expected(root, error)
    if limit == "required":
        return _missing(root, error)
    if limit == "additionalProperties":
        return ""  # `nested_unknown_keys` reports them
    if words := limit_words({limit: value}):
        return f"expected {words}"
    return f"does not fit the schema ({limit})"


def _missing(root: Mapping[str, Any], error: ValidationError) -> str:
    """Name the required keys that are missing and have no default; "" without any."""
    members = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
    required, given = _any(error.validator_value), _any(error.instance)
    missing = [
        repr(key)
        for key in required
        if key not in given and "default" not in resolved(root, members.get(key))
    ]
    return f"missing key{'s' if len(missing) > 1 else ''} {', '.join(missing)}" if missing else ""


def _expected(root: Mapping[str, Any], error: ValidationError) -> str:
    kinds = alternatives(root, error.schema)
    values = [value for each in kinds for value in _allowed(resolved(root, each))]
    choices = ", ".join(repr(value) for value in values if value is not None)
    others = type_text(root, {"anyOf": [each for each in kinds if not _allowed(resolved(root, each))]})
    got = "null" if error.instance is None else _TYPES.get(type(error.instance), "another type")
    if not values:
        return f"expected {others}, got {got}"
    words = f"expected one of {choices}" if len(choices) <= _CHOICES else "expected one of the allowed values"
    return words if others == "Any" else f"{words}, or {others}"


def _any(value: Any) -> Any:
    """Return the value. By jsonschema's types it may be unset, but not in the errors that `iter_errors` yields."""
    return value


def _allowed(schema: Mapping[str, Any]) -> list[Any]:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return values if isinstance(values, list) else []


def _text(place: Place) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
