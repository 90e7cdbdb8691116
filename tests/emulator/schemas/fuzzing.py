"""Calls the operations of an OpenAPI document with valid and invalid data, by schemathesis."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

DETAIL = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["loc", "msg", "type", "input"],
        "properties": {
            "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}
        },
    },
}
_REFUSED = {
    "description": "The input does not fit the schema (protocol 9.1).",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["detail"], "properties": {"detail": DETAIL}}
        }
    },
}
OF_THE_QUEUE = (
    "status_code_conformance",  # fal's documents name only 200
    "negative_data_rejection",  # the queue accepts every input; the 422 is the result
    "positive_data_acceptance",  # a request id that schemathesis makes up is unknown
    "unsupported_method",  # the paths of requests overlap with those of calls
)
OF_A_CALL = ("unsupported_method",)  # fal passes other methods than POST on to the model


def direct(document: Mapping[str, Any], endpoint_id: str) -> dict[str, Any]:
    """Return the document of the direct call, made of the queue's: the response is the result, or a 422."""
    paths = document["paths"]
    post = paths[f"/{endpoint_id}"]["post"]
    result = paths[f"/{endpoint_id}/requests/{{request_id}}"]["get"]["responses"]["200"]
    answers = {"200": result, "422": _REFUSED}
    return {**document, "paths": {f"/{endpoint_id}": {"post": {**post, "responses": answers}}}}


def fuzz(
    document: Mapping[str, Any], base_url: str, key: str, *, without: Collection[str], examples: int
) -> int:
    """Call each operation with so many valid and invalid inputs. Return the number of calls; it raises findings."""
    load_all_checks()
    schema = schemathesis.openapi.from_dict(dict(document))
    schema.config.update(base_url=base_url, headers={"Authorization": f"Key {key}"})
    checks = [check for check in CHECKS.get_all() if check.__name__ not in without]
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    # A request id is a str, so there are no invalid ones.
    ways = [(one, mode) for one in operations for mode in GenerationMode if mode.is_positive or one.body]
    return sum(_calls(operation, mode, checks, examples) for operation, mode in ways)


def _calls(operation: Any, mode: GenerationMode, checks: list[Any], examples: int) -> int:
    count = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        nonlocal count
        count += 1
        case.call_and_validate(checks=checks)

    call()
    return count
