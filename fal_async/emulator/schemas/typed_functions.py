"""The types of an endpoint's function: their schemas, inputs built of them, and outputs as JSON.

Classes of attrs, dataclasses, TypedDicts and msgspec's Structs are read by msgspec, which has their schema, builds
them, and needs no further package. A pydantic model does all of this itself, and checks inputs as models on fal do.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import sys
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import attrs

from fal_async.emulator.schemas.input_check import InputCheck, require
from fal_async.emulator.schemas.normal_schema import normal_schema
from fal_async.emulator.wire.answers import Answer, ModelError, detail_entry
from fal_async.emulator.wire.sse import Event

logger: logging.Logger = logging.getLogger("fal_async.emulator")
_MANY = (AsyncGenerator, AsyncIterator, AsyncIterable)
"""What an async generator function returns."""


@attrs.frozen(kw_only=True)
class TypedPart:
    """One type of a function.

    Attributes:
        schema: its JSON schema.
        convert: of the input: checks the JSON, and returns an instance. Of the output: returns the JSON.
    """

    schema: Mapping[str, Any]
    convert: Callable[[Any], Any]


def typed_input(function: Callable[..., Any], endpoint_id: str, local: Mapping[str, Any]) -> TypedPart | None:
    """Return how the input of a function is read; None if its annotation is not a class with members.

    Args:
        function: the function of an endpoint.
        endpoint_id: the endpoint, for messages.
        local: names where the endpoint is registered: an annotation that is a string may use them.

    Raises:
        ModuleNotFoundError: If a package is missing that this needs.
        TypeError: If the class has a member whose type JSON does not have.
    """
    names = list(inspect.signature(function).parameters)
    kind = _annotation(function, names[0], endpoint_id, local)
    if _is_pydantic(kind):
        return TypedPart(schema=kind.model_json_schema(), convert=lambda input: _by_pydantic(kind, input))
    if not _is_record(kind):
        return None
    schema = _schema(kind, endpoint_id)
    check = InputCheck(schema, endpoint_id)
    return TypedPart(schema=schema, convert=lambda input: _built(kind, check(input)))


def typed_output(
    function: Callable[..., Any], endpoint_id: str, local: Mapping[str, Any]
) -> TypedPart | None:
    """Return how the output of a function becomes JSON, as `typed_input`; of a stream each value of it."""
    kind = _annotation(function, "return", endpoint_id, local)
    if typing.get_origin(kind) in _MANY:
        kind = typing.get_args(kind)[0]
    if _is_pydantic(kind):
        return TypedPart(schema=kind.model_json_schema(mode="serialization"), convert=_dumped)
    if not _is_record(kind):
        return None
    schema = _schema(kind, endpoint_id)
    return TypedPart(schema=schema, convert=partial(_plain, tuple(schema.get("properties", ()))))


def _annotation(function: Callable[..., Any], name: str, endpoint_id: str, local: Mapping[str, Any]) -> Any:
    """Return an annotation; None if there is none, or if it has an unknown name."""
    code = inspect.unwrap(function if inspect.isroutine(function) else type(function).__call__)
    found = getattr(code, "__annotations__", {}).get(name)
    if not isinstance(found, str):
        return found
    names = {**getattr(code, "__globals__", {}), **local}
    try:
        return typing.get_type_hints(_Holder(found), names, include_extras=True)["value"]
    except Exception as error:  # an annotation is any code
        logger.warning("%s: the type %.80r is not used: %s", endpoint_id, found, error)
        return None


class _Holder:
    """Something with one annotation."""

    def __init__(self, annotation: str) -> None:
        self.__annotations__ = {"value": annotation}


def _is_pydantic(kind: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def _is_record(kind: Any) -> bool:
    if kind in (Answer, Event):
        return False
    if attrs.has(kind) or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return isinstance(kind, type)
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _schema(kind: type, endpoint_id: str) -> Mapping[str, Any]:
    for package in ("msgspec", "jsonschema"):
        require(package, f"{endpoint_id}: the type {kind.__name__}")
    import msgspec

    try:
        schema = normal_schema(msgspec.json.schema(kind))
    except TypeError as error:
        raise TypeError(f"{endpoint_id}: {kind.__name__} has no JSON schema: {error}") from error
    return {"x-fal-order-properties": list(schema.get("properties", ())), **schema}


def _built(kind: type, input: Any) -> Any:
    """Build an instance of an input that fits the schema; checks of the class itself may still refuse it."""
    import msgspec

    try:
        return msgspec.convert(input, kind)
    except (
        msgspec.ValidationError,
        ValueError,
        TypeError,
    ) as error:  # the first is none of the others in 0.18
        entry = detail_entry(["body"], f"Value error, {error}", "value_error", input)
        raise ModelError(422, [entry]) from error


def _plain(order: tuple[str, ...], value: Any) -> Any:
    """Return a value as JSON, with its members in the order of the schema."""
    import msgspec

    found = msgspec.to_builtins(value, str_keys=True)
    if not isinstance(found, dict):
        return found
    return {**{name: found[name] for name in order if name in found}, **found}


def _by_pydantic(kind: Any, input: Any) -> Any:
    from pydantic import ValidationError

    try:
        return kind.model_validate(input)
    except ValidationError as error:
        raise ModelError(422, [_entry(one) for one in error.errors(include_url=False)]) from error


def _entry(error: Mapping[str, Any]) -> dict[str, Any]:
    told = error.get("ctx", {}).items()
    ctx = {name: value if isinstance(value, int | float | str) else str(value) for name, value in told}
    return detail_entry(["body", *error["loc"]], error["msg"], error["type"], error["input"], ctx or None)


def _dumped(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True) if hasattr(value, "model_dump") else value
