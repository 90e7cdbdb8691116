"""Conversion of the values in results and streams to JSON that browsers can read (RFC 8259).

NaN and infinities become null, bytes base64, dates ISO 8601, sets lists, records objects (with their JSON names),
and results the value of their `to_dict`. A lone surrogate in a string becomes U+FFFD.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import decimal
import enum
import json
import math
import os
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fal_async.errors import ConfigurationError, FalError
from fal_async.records import fields_of, is_record

_BYTES = (bytes, bytearray, memoryview)
_DATES = (datetime.date, datetime.time)  # a datetime is a date


def json_text(value: Any) -> str:
    """Return `value` as JSON text.

    Raises:
        ConfigurationError: `value` contains an object that has no JSON form, or contains itself.
    """
    with _refusing():
        return json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))


def plain(value: Any) -> Any:
    """Return `value` as dicts, lists, strings, numbers, booleans and None. Raises as `json_text`."""
    with _refusing():
        return _plain(value)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except FalError:
        raise
    except RecursionError:
        raise ConfigurationError(
            "JSON can't carry a value that contains itself, or is nested too deeply"
        ) from None
    except Exception as error:  # such as an int of too many digits, or an error of a user's object
        raise ConfigurationError(f"JSON can't carry this value ({type(error).__name__})") from error


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, decimal.Decimal):
        return _plain(float(value)) if value.is_finite() else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _of_an_object(value)


def _of_an_object(value: Any) -> Any:
    if isinstance(value, _BYTES):
        return base64.b64encode(value).decode()
    if isinstance(value, _DATES):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, uuid.UUID | os.PathLike):
        return _text(str(value))
    if isinstance(value, type):
        raise _unfit(value)
    kind = type(value)
    if callable(getattr(kind, "to_dict", None)) and not isinstance(value, BaseException):  # a Result
        return _plain(value.to_dict())
    if is_record(value):
        return _plain(fields_of(value, to_send=False))
    if hasattr(kind, "unicode_string"):  # pydantic's URLs
        return _text(value.unicode_string())
    if hasattr(kind, "tolist"):  # numpy
        return _plain(value.tolist())
    if isinstance(value, Collection):
        return [_plain(item) for item in value]
    raise _unfit(value)


def _key(key: Any) -> str:
    named = _plain(key)
    return named if isinstance(named, str) else json.dumps(named)


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        # Two halves of a pair become one character, a single half becomes U+FFFD.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str(text)


def _unfit(value: Any) -> ConfigurationError:
    return ConfigurationError(f"JSON can't carry a value of type {type(value).__name__}")
