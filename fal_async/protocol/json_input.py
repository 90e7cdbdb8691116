"""Encoding of typed values as JSON: the input that is sent to a model, and the digest that identifies it."""

from __future__ import annotations

import enum
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time, timedelta
from typing import Any

from fal_async.errors import ConfigurationError
from fal_async.records import fields_of, is_named, is_record


def encode_json(value: Any, what: str = "input") -> bytes:
    """Encode `value` as compact JSON in UTF-8.

    Records anywhere in it become objects: attrs values and dataclasses (with the fields that their `__init__`
    takes), pydantic models and msgspec Structs (with their JSON names). Record fields that are None are left out;
    None in a mapping or a list becomes null. Dates become ISO strings, enum members their values, UUIDs and URLs
    strings, Decimals and numpy scalars numbers.

    Raises ConfigurationError, naming the place, if JSON can't represent a value.
    """
    try:
        body = _ENCODER.encode(value).encode()
        has_text_keys = _has_text_keys(value)
    except Exception as error:
        # Any exception, because reading a record's fields may run the caller's code. A RecursionError may also come
        # from `_has_text_keys`, because newer Pythons encode more deeply nested values than it can walk.
        why = "nested too deeply" if isinstance(error, RecursionError) else type(error).__name__
        raise _cannot_carry(value, what, why) from error
    if not has_text_keys:
        # The json module converts such keys silently, and `{1: a, "1": b}` would have one key twice.
        raise _cannot_carry(value, what, "a key that is not a str")
    return body


def _cannot_carry(value: Any, what: str, otherwise: str) -> ConfigurationError:
    place = _first_unfit(value, what) or f"{what}: {otherwise}"
    return ConfigurationError(f"JSON can't carry the {what}: {place}")


_EXPECTED = "a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec Struct"
_TEXT = frozenset({str})
LEAVES = frozenset({str, int, float, bool, type(None)})
"""Types that contain no other values, so that a container of only these needs no further check."""
_WHOLE = LEAVES - {float}
_SEQUENCES = (list, tuple)


def is_flat(value: Any) -> bool:
    """Return whether this is a dict of only str, numbers, bool and None. Fast, because the loop runs in C."""
    return type(value) is dict and LEAVES.issuperset(map(type, value.values()))


def _has_text_keys(value: Any) -> bool:
    """Return whether all mappings in a value that JSON can represent have str keys."""
    inner: Iterable[Any]
    if type(value) is dict or isinstance(value, Mapping):
        # Every call runs this, so the usual case, plain str keys, is decided in C.
        if not _TEXT.issuperset(map(type, value)) and not all(isinstance(key, str) for key in value):
            return False
        inner = value.values()
    elif isinstance(value, _SEQUENCES):
        inner = value
    elif is_record(value):
        inner = (plain_value(value),)
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
    """Return the input as the model gets it: a mapping as a dict, None as {}, a record unchanged.

    Raises ConfigurationError for anything else.
    """
    if input is None:
        return {}
    if isinstance(input, dict):
        return input
    if isinstance(input, Mapping):
        return dict(input)
    if is_record(input) and not _is_root_model(input):
        return input
    expected = "pass its ._asdict()" if hasattr(type(input), "_asdict") else f"expected {_EXPECTED}"
    raise ConfigurationError(f"input is of type {type(input).__name__}: {expected}")


def _is_root_model(record: Any) -> bool:
    """Return whether the record is a pydantic RootModel whose JSON is not an object."""
    return is_named(record, "pydantic", "RootModel") and not isinstance(record.root, Mapping)


# Conversion of objects. Classes of optional libraries are recognised by name, without importing them.

_TEXTS: Mapping[str, frozenset[str]] = {
    "uuid": frozenset({"UUID"}),
    "pydantic": frozenset({"_BaseUrl", "_BaseMultiHostUrl", "AnyUrl"}),
    "pydantic_core": frozenset({"Url", "MultiHostUrl"}),
    "yarl": frozenset({"URL"}),
    "httpx": frozenset({"URL"}),
    "numpy": frozenset({"datetime64"}),
}
"""For each package, the classes that are sent as their `str`."""


def plain_value(value: Any) -> Any:
    """Convert a value that an encoder (json, msgpack) does not know. It is the encoder's `default` function.

    The result may contain such values again. Raises TypeError, with advice, if the value is not supported.
    """
    if is_record(value):
        return fields_of(value, to_send=True)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if _is_text(value):
        return str(value)
    if is_named(value, "decimal", "Decimal"):
        return _number_of(value)
    if callable(getattr(value, "item", None)) and getattr(value, "shape", None) == ():
        return _scalar_of(value)
    raise TypeError(_why(value))


def _is_text(value: Any) -> bool:
    return any(
        kind.__name__ in _TEXTS.get(kind.__module__.partition(".")[0], ()) for kind in type(value).__mro__
    )


def _number_of(decimal: Any) -> int | float:
    """Return a Decimal as a JSON number. Raise TypeError if that would lose digits."""
    number = float(decimal)
    if not math.isfinite(number):
        return number  # the encoder refuses it
    if decimal == decimal.to_integral_value():
        return int(decimal)
    if decimal != type(decimal)(repr(number)):
        raise TypeError("a Decimal with more digits than a float holds: pass str(...) or float(...) of it")
    return number


def _scalar_of(value: Any) -> Any:
    """Return a scalar of numpy (or a library like it) as a plain Python value."""
    plain = value.item()
    if type(plain) is type(value) or is_named(value, "numpy", "timedelta64"):
        raise TypeError(_why(value))
    return plain


def _why(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, bytes | bytearray | memoryview) or is_named(value, "array", "array"):
        return "bytes: upload them with File(data, ...), or encode(...) them as a data URI"
    if isinstance(value, type):
        return f"the class {value.__name__}: pass an instance"
    if hasattr(value, "shape") and hasattr(value, "tolist"):
        return f"an array ({kind}): pass its .tolist(), or an image of it, such as PIL.Image.fromarray(...)"
    if isinstance(value, timedelta):
        return "a timedelta: pass its .total_seconds()"
    if isinstance(value, set | frozenset):
        return f"a {kind}, which has no order: pass a list, such as sorted(...) of it"
    if hasattr(value, "get_secret_value"):
        return f"a value of type {kind}: pass its .get_secret_value()"
    if isinstance(value, Iterable):
        return f"a value of type {kind}: pass list(...) of it"
    return f"a value of type {kind}"


# Created once, because json.dumps creates an encoder for each call with arguments such as these.
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False, default=plain_value)


def _unfit(value: Any, path: str, above: tuple[int, ...]) -> Iterator[str]:
    """Yield each place that JSON can't represent, with the reason."""
    if id(value) in above:
        yield f"{path} contains itself"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is {value}"
    elif isinstance(value, str):
        if not _is_unicode(value):
            yield f"{path} is a str with lone surrogates: expected text that UTF-8 can encode"
    elif value is None or isinstance(value, bool | int):
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{path} has a key of type {type(key).__name__}: expected str keys"
            yield from _unfit(item, f"{path}.{key}", (*above, id(value)))
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from _unfit(item, f"{path}[{at}]", (*above, id(value)))
    else:
        try:
            plain = plain_value(value)
        except TypeError as error:
            yield f"{path} is {error}"
        else:
            yield from _unfit(plain, path, (*above, id(value)))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def digest_of(body: bytes) -> str:
    """Return the SHA-256 (hex) of a JSON text in canonical form, which identifies an input."""
    return hashlib.sha256(canonical_json(body)).hexdigest()


def canonical_json(body: bytes) -> bytes:
    """Return a JSON text in canonical form (`ledger/README.md`), or the body itself if it is not JSON.

    5.0 becomes 5, because a server that stored the input may have replaced one by the other.
    """
    try:
        document = _NUMBERS_ALIKE.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
        return _SORTED.encode(document).encode()
    except (ValueError, RecursionError):
        return body


def canonical_if_plain(value: Any) -> bytes | None:
    """Return `canonical_json(encode_json(value))` for a dict of only str, int, bool and None; None for others.

    It takes a third of the time of the general function.
    """
    if type(value) is not dict or not _TEXT.issuperset(map(type, value)):
        return None
    if not _WHOLE.issuperset(map(type, value.values())):
        return None
    try:
        body = _SORTED.encode(value).encode()
    except ValueError:  # an int with too many digits
        return None
    # "\ud" may be a lone surrogate, which can't be sent: `encode_json` decides.
    return None if rb"\ud" in body else body


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


# Created once, like `_ENCODER`, because each keyed input is put into canonical form twice.
_NUMBERS_ALIKE = json.JSONDecoder(parse_float=_number)
_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
