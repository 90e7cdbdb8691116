"""From typed values to JSON: what a model gets, and the digest by which an input is recognised."""

from __future__ import annotations

import enum
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import attrs

from fal_async.errors import ConfigurationError


def encode_json(value: Any, what: str = "input") -> bytes:
    """`value` as compact JSON in UTF-8; attrs values and dataclasses anywhere in it become objects (of the
    fields that their `__init__` takes), dates ISO texts, enum members their values.

    ConfigurationError, naming the place, where JSON can't carry it.
    """
    try:
        body = _ENCODER.encode(value).encode()
    except Exception as error:
        # Not only the json module's own: a record's fields are read here, whatever they raise.
        raise _cannot_carry(value, what, type(error).__name__) from error
    if not _has_text_keys(value):
        # The json module makes texts of them in silence, and `{1: a, "1": b}` would have one key twice.
        raise _cannot_carry(value, what, "a key that is no text")
    return body


def _cannot_carry(value: Any, what: str, otherwise: str) -> ConfigurationError:
    place = _first_unfit(value, what) or f"{what}: {otherwise}"
    return ConfigurationError(f"JSON can't carry the {what}: {place}")


_TEXT = frozenset({str})
LEAVES = frozenset({str, int, float, bool, type(None)})
"""What a sequence or a mapping may hold without another look into it."""
_SEQUENCES = (list, tuple)


def is_flat(value: Any) -> bool:
    """Whether this is a dict of texts, numbers and the like alone. Told in C, of a million values, too."""
    return type(value) is dict and LEAVES.issuperset(map(type, value.values()))


def _has_text_keys(value: Any) -> bool:
    """Whether all mappings in what is known to be JSON have texts as keys."""
    inner: Iterable[Any]
    if type(value) is dict or isinstance(value, Mapping):
        # This is on the path of every call: the usual case, plain texts, is settled in C.
        if not _TEXT.issuperset(map(type, value)) and not all(isinstance(key, str) for key in value):
            return False
        inner = value.values()
    elif isinstance(value, _SEQUENCES):
        inner = value
    elif is_record(value):
        inner = [getattr(value, name) for name in field_names(value)]
    else:
        return True
    return all(_has_text_keys(item) for item in inner if type(item) not in LEAVES)


def _first_unfit(value: Any, what: str) -> str | None:
    try:
        return next(_unfit(value, what, ()), None)
    except RecursionError:
        return f"{what} is nested too deeply"
    except Exception:
        return None


def input_value(input: Any) -> Any:
    """What a model gets: a mapping as a dict, None as an empty object. ConfigurationError for other things."""
    if input is None:
        return {}
    if isinstance(input, dict) or is_record(input):
        return input
    if isinstance(input, Mapping):
        return dict(input)
    raise ConfigurationError(
        f"input is a {type(input).__name__}: expected a mapping, an attrs instance or a dataclass"
    )


def is_record(value: Any) -> bool:
    kind = type(value)  # of a class itself it is `type`, which is neither
    return attrs.has(kind) or hasattr(kind, "__dataclass_fields__")


def plain_value(value: Any) -> Any:
    """What an encoder (json's, msgpack's) asks for when it meets something that it doesn't know."""
    if is_record(value):
        # As they are, not as they are annotated: what a field holds is what the model gets.
        return {name: getattr(value, name) for name in field_names(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(_why(value))


# Made once: the json module makes one for each call with arguments of its own.
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False, default=plain_value)


def _why(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes: upload them with File(data, ...), or encode(...) them as a data URI"
    return f"a value of type {type(value).__name__}"


def _unfit(value: Any, path: str, above: tuple[int, ...]) -> Iterator[str]:
    """The places that JSON can't carry, each with its reason."""
    if id(value) in above:
        yield f"{path} contains itself"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is {value}"
    elif isinstance(value, str):
        if not _is_unicode(value):
            yield f"{path} is a text with lone surrogates"
    elif value is None or isinstance(value, bool | int | date):
        return
    elif isinstance(value, enum.Enum):
        yield from _unfit(value.value, path, above)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{path} has a key of type {type(key).__name__}: in JSON they are texts"
            yield from _unfit(item, f"{path}.{key}", (*above, id(value)))
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from _unfit(item, f"{path}[{at}]", (*above, id(value)))
    elif is_record(value):
        for name in field_names(value):
            yield from _unfit(getattr(value, name), f"{path}.{name}", (*above, id(value)))
    else:
        yield f"{path} is {_why(value)}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def field_names(value: Any) -> list[str]:
    if attrs.has(type(value)):
        return [field.name for field in attrs.fields(type(value)) if field.init]
    import dataclasses  # whoever made one has loaded it

    return [field.name for field in dataclasses.fields(value) if field.init]


def digest_of(body: bytes) -> str:
    """SHA-256 (hex) of a JSON text in canonical form, to recognise an input wherever it shows up again.

    5.0 is 5 in it: whoever stored it meanwhile may have written one for the other.
    """
    try:
        document = json.loads(body, parse_float=_number)
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        canonical = body
    return hashlib.sha256(canonical).hexdigest()


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
