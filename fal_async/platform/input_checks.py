"""Checks of inputs before anything is sent or uploaded: `check="required"` and `check="schema"`."""

from __future__ import annotations

from typing import Any

from fal_async.config import Check
from fal_async.errors import ConfigurationError
from fal_async.platform.schemas import Schemas
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.schemas import input_values
from fal_async.protocol.schemas.endpoint_schema import EndpointSchema
from fal_async.protocol.schemas.input_keys import key_problems, top_level_keys


class InputChecks:
    """Compares inputs with the schemas of their endpoints."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    async def check(self, endpoint: EndpointId, input: Any, check: Check) -> None:
        """Raise ConfigurationError if the input does not fit; do nothing if the schema can't be had."""
        if check == "schema":
            input_values.check_is_installed()
        schema = None if check == "off" else await self._schemas.get_if_possible(endpoint)
        problems = "" if schema is None else _problems(schema, input, check)
        if problems:
            raise ConfigurationError(
                f'{problems}. Nothing was sent; check="off" sends it', endpoint_id=endpoint.full
            )


def _problems(schema: EndpointSchema, input: Any, check: Check) -> str:
    if schema.input is None:
        return ""
    if problems := key_problems(schema.input, top_level_keys(input)):
        return f"input: {problems}"
    return input_values.value_problems(schema.input, input) if check == "schema" else ""
