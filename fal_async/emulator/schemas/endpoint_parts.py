"""What an endpoint has by its schemas: the check of inputs, the conversion of values, and its OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import attrs

from fal_async.emulator.accounts.prices import Price
from fal_async.emulator.builtin import stand_ins
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.schemas.input_check import InputCheck, is_installed, require
from fal_async.emulator.schemas.model_document import ModelDocument
from fal_async.emulator.schemas.typed_functions import typed_input, typed_output

Schema = Mapping[str, Any]


def endpoint_parts(
    endpoint_id: str,
    function: Callable[..., Any],
    input_schema: Schema | None,
    output_schema: Schema | None,
    document: ModelDocument | None,
    local: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fields of an `Endpoint` that depend on schemas and types; `local` as of `typed_input`.

    Raises:
        ModuleNotFoundError: If a package is missing that they need.
        TypeError: If a type has no JSON schema.
        ValueError: If a schema is too large.
    """
    if document is not None:
        input_schema, output_schema = document.input, document.output
    taken, given = (of(function, endpoint_id, local) for of in (typed_input, typed_output))
    read = None if taken is None else taken.convert
    if input_schema is not None:
        require("jsonschema", f"the schema of {endpoint_id}")
        check = InputCheck(input_schema, endpoint_id)
        input_schema = check.schema
        read = check if taken is None else _after(check, taken.convert)
    return {
        "read": read,
        "write": None if given is None else given.convert,
        "input_schema": taken.schema if input_schema is None and taken is not None else input_schema,
        "output_schema": given.schema if output_schema is None and given is not None else output_schema,
        "document": None if document is None else document.whole,
    }


def builtin_parts(endpoint_id: str, input_schema: Schema, output_schema: Schema) -> dict[str, Any]:
    """Return the same for a built-in model, which checks what it uses itself, as jsonschema may be missing."""
    read = InputCheck(input_schema, endpoint_id) if is_installed("jsonschema") else None
    return {"read": read, "input_schema": input_schema, "output_schema": output_schema}


@lru_cache(8)
def checked_stand_ins(plain_pictures: bool, runners: int) -> tuple[tuple[Endpoint, Price], ...]:
    """Return `stand_ins`, whose inputs are checked by their whole schemas if jsonschema is installed."""
    if not is_installed("jsonschema"):
        return stand_ins(plain_pictures, runners)
    return tuple(
        (attrs.evolve(endpoint, read=InputCheck(endpoint.input_schema or {}, endpoint.endpoint_id)), price)
        for endpoint, price in stand_ins(plain_pictures, runners)
    )


def _after(check: InputCheck, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda input: convert(check(input))
