"""Checks inputs by a JSON schema, with fal's own errors: 422 with one entry per mistake (protocol 9.1, 9.3)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from fal_async.emulator.schemas.error_entries import entries_of
from fal_async.emulator.schemas.normal_schema import normal_schema
from fal_async.emulator.wire.answers import ModelError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_MAX_STEPS = 10_000
"""Steps from a schema to one within it. A longer check would block the emulator; some schemas need millions."""
_STEPS = (
    *("$ref", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas", "contains"),
    *("properties", "patternProperties", "additionalProperties", "propertyNames", "items", "prefixItems"),
)
_MAX_ENTRIES = 100


@cache
def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def require(package: str, what: str) -> None:
    """Raise ModuleNotFoundError, with the command that installs it, if a package is missing."""
    if not is_installed(package):
        raise ModuleNotFoundError(f"{what} needs {package}: pip install 'fal-async[emulator]'", name=package)


class InputCheck:
    """Compares inputs with a schema. It reads the schema and loads jsonschema when the first input is checked."""

    def __init__(self, schema: Mapping[str, Any], endpoint_id: str) -> None:
        self._given, self._endpoint_id = schema, endpoint_id
        self._steps = 0

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The schema in normal form. ValueError if it is too large."""
        return normal_schema(self._given)

    def __call__(self, input: Any) -> Any:
        """Return the input unchanged.

        Raises:
            ModelError: 422, if the input does not fit the schema.
            ValueError: If the schema is such that the input can't be compared with it.
        """
        if entries := self.entries(input):
            raise ModelError(422, entries)
        return input

    def fits(self, value: Any) -> bool:
        """Return whether a value fits the schema. Raise ValueError as a check does."""
        return not self.entries(value)

    def entries(self, input: Any) -> list[dict[str, Any]]:
        """Return the mistakes of an input, as the entries of a 422; at most the first hundred."""
        self._steps = 0
        try:
            return sorted(entries_of(self._validator.iter_errors(input), _MAX_ENTRIES), key=self._place)
        except (RecursionError, ArithmeticError) as error:
            raise ValueError(
                f"{self._endpoint_id}: a value can't be compared with its schema, which refers to itself without "
                "end, or has too many alternatives or too large numbers"
            ) from error

    def _place(self, entry: Mapping[str, Any]) -> int:
        """Return the place of an entry's member in the schema, by which pydantic and fal sort."""
        loc = entry["loc"]
        return self._order.get(loc[1], len(self._order)) if len(loc) > 1 else -1

    @cached_property
    def _order(self) -> Mapping[Any, int]:
        return {name: place for place, name in enumerate(self.schema.get("properties", ()))}

    @cached_property
    def _validator(self) -> Validator:
        from jsonschema import Draft202012Validator, validators
        from referencing import Registry

        rules = {name: self._counted(Draft202012Validator.VALIDATORS[name]) for name in _STEPS}
        # An empty registry, so that nothing is ever fetched.
        kind: Any = validators.extend(Draft202012Validator, rules)  # type: ignore[no-untyped-call]
        validator: Validator = kind(self.schema, registry=Registry())
        return validator

    def _counted(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise RecursionError(f"more than {_MAX_STEPS} steps")
            yield from rule(validator, value, instance, schema) or ()

        return counted
