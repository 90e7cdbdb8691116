"""Outputs as JSON-able values, whatever an `output_type` made of them."""

from __future__ import annotations

import base64
import enum
import math
from collections.abc import Mapping, Sequence, Set
from datetime import date
from typing import Any


def fields_of(value: Any) -> Mapping[Any, Any]:
    """Of an object, an attrs value or a dataclass; none of other things."""
    if isinstance(value, Mapping):
        return value
    names = getattr(type(value), "__attrs_attrs__", None)
    if names is not None:
        return {field.name: getattr(value, field.name, None) for field in names}
    names = getattr(type(value), "__dataclass_fields__", {})
    return {name: getattr(value, name, None) for name in names}


def to_json(value: Any) -> Any:
    """The same in JSON's own types: records as objects, dates as ISO texts, bytes in base64, NaN as null."""
    if isinstance(value, enum.Enum):
        return to_json(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Sequence | Set):
        return [to_json(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    fields = fields_of(value)
    if fields or isinstance(value, Mapping):
        return {str(to_json(name)): to_json(item) for name, item in fields.items()}
    return str(value)
