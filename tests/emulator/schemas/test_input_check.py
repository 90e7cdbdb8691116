"""Inputs that do not fit a schema get 422 with the entries of fal's models (protocol 9.1)."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from fal_async import Session
from fal_async import ValidationError as RefusedInput
from fal_async.emulator.schemas.input_check import InputCheck
from tests.emulator.caller import Caller
from tests.emulator.schemas.documents_of_models import document

GOOD = {"prompt": "x"}


class Part(BaseModel):
    name: str
    weight: float = 1


class Asked(BaseModel):
    prompt: str = Field(min_length=2, max_length=5)
    count: int = Field(default=1, ge=1, lt=5)
    ratio: float | None = Field(default=None, gt=0, le=1)
    flag: bool = False
    parts: list[Part] = []
    steps: Annotated[int, Field(multiple_of=8)] = 8
    code: str = Field(default="a1", pattern="^[a-z][0-9]$")
    extra: dict[str, int] = {}


MISTAKES: tuple[dict[str, Any], ...] = (
    {},
    {"prompt": "x"},
    {"prompt": "long text"},
    {"prompt": ["a"]},
    {"prompt": None},
    {"prompt": "ok", "count": 0},
    {"prompt": "ok", "count": 5},
    {"prompt": "ok", "count": 1.5},
    {"prompt": "ok", "count": []},
    {"prompt": "ok", "ratio": 0},
    {"prompt": "ok", "ratio": 2},
    {"prompt": "ok", "ratio": {}},
    {"prompt": "ok", "flag": []},
    {"prompt": "ok", "parts": {}},
    {"prompt": "ok", "parts": [{"weight": []}, {"name": "a"}, {"name": 1}]},
    {"prompt": "ok", "steps": 9},
    {"prompt": "ok", "code": "zz"},
    {"prompt": "ok", "extra": {"a": {}}},
    {"prompt": 1, "count": [], "flag": {}, "steps": 1},
)


@pytest.mark.parametrize("input", MISTAKES, ids=str)
def test_the_entries_are_those_of_pydantic_which_checks_the_inputs_of_models_on_fal(input: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Asked.model_validate(input)
    theirs = [
        {"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]}
        for one in refused.value.errors()
    ]
    ours = [
        {name: one[name] for name in ("loc", "msg", "type")}
        for one in InputCheck(Asked.model_json_schema(), "me/m").entries(input)
    ]
    assert sorted(ours, key=str) == sorted(theirs, key=str)


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"enum": ["a", 1]}, "b", ("one_of", [], {"expected": ["a", 1]})),
        ({"const": 1}, 2, ("one_of", [], {"expected": [1]})),
        ({"type": "array", "minItems": 2}, [1], ("sequence_too_short", [], {"min_length": 2})),
        ({"type": "array", "maxItems": 0}, [1], ("sequence_too_long", [], {"max_length": 0})),
        (
            {"additionalProperties": False, "properties": {"a": {}}},
            {"b": 1},
            ("extra_forbidden", ["b"], None),
        ),
        ({"type": "object", "minProperties": 1}, {}, ("too_short", [], {"min_length": 1})),
        ({"type": "null"}, 1, ("none_required", [], None)),
        ({"not": {}}, 1, ("value_error", [], None)),
        (False, 1, ("value_error", [], None)),
        ({"type": "array", "uniqueItems": True}, [1, 1], ("value_error", [], None)),
        (
            {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "string"}]},
            1,
            ("greater_than_equal", [], {"ge": 3}),
        ),
        ({"type": "integer", "nullable": True, "minimum": 1}, 0, ("greater_than_equal", [], {"ge": 1})),
    ],
    ids=str,
)
def test_each_keyword_has_its_entry(schema: Any, value: Any, expected: tuple[Any, ...]) -> None:
    (entry,) = InputCheck(schema, "me/m").entries(value)
    assert (entry["type"], entry["loc"], entry.get("ctx")) == (
        expected[0],
        ["body", *expected[1]],
        expected[2],
    )


def test_a_value_of_no_alternative_has_the_mistakes_of_each_by_name() -> None:
    schema = {"properties": {"a": {"anyOf": [{"type": "integer"}, {"title": "Size", "type": "object"}]}}}
    entries = InputCheck(schema, "me/m").entries({"a": "x"})
    assert [entry["loc"] for entry in entries] == [["body", "a", "integer"], ["body", "a", "Size"]]


@pytest.mark.parametrize(
    "input", [None, [], "text", 5, True, {"prompt": ""}, {"prompt": "x", "seed": "7"}], ids=str
)
async def test_a_queued_request_with_a_bad_input_is_accepted_and_ends_with_422(
    caller: Caller, input: Any
) -> None:
    caller.emulator.endpoint_from(document())
    submitted = await caller.call("POST", "/queue.fal.run/acme/painter", json=input)
    assert (await caller.finished(submitted)).data["status"] == "COMPLETED"
    result = await caller.result(submitted)
    assert result.status == 422
    for entry in result.data["detail"]:
        assert entry.keys() >= {"loc", "msg", "type", "input", "url"}
        assert entry["loc"][0] == "body"
    assert (await caller.run("acme/painter", input)).data == result.data


async def test_unknown_members_of_an_input_are_ignored_as_on_fal(caller: Caller) -> None:
    caller.emulator.endpoint_from(document())
    assert (await caller.run("acme/painter", {**GOOD, "unknown": 1})).status == 200


async def test_the_client_reads_the_entries_of_a_refused_input(caller: Caller) -> None:
    caller.emulator.endpoint_from(document())
    async with Session(caller.emulator.key, hosts=caller.emulator.hosts) as fal:
        with pytest.raises(RefusedInput) as refused:
            await fal.subscribe("acme/painter", {"num_images": 9, "image_size": {"height": 0}})
    found = [(error.type, tuple(error.loc)) for error in refused.value.errors]
    assert found == [
        ("missing", ("body", "prompt")),
        ("less_than_equal", ("body", "num_images")),
        ("greater_than", ("body", "image_size", "height")),
    ]


async def test_a_schema_that_needs_endless_checks_fails_the_request_and_not_the_emulator(
    caller: Caller,
) -> None:
    parts = {f"A{n}": {"allOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 3} for n in range(30)}
    for schema in (
        {"$ref": "#/$defs/A0", "$defs": {**parts, "A30": {"type": "object"}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}},
    ):

        @caller.emulator.endpoint("me/endless", input_schema=schema)
        async def endless(input: Any) -> Any:
            return input

        assert (await caller.run("me/endless", {})).status == 500
        (*_, job) = caller.emulator.jobs.values()
        assert "can't be compared with its schema" in str(job.exception)


async def test_inputs_of_the_built_in_models_are_checked_by_their_whole_schema(caller: Caller) -> None:
    refused = await caller.run(
        "fal-ai/flux/dev", {"prompt": "x", "guidance_scale": "much", "output_format": "gif"}
    )
    assert [entry["type"] for entry in refused.data["detail"]] == ["float_type", "one_of"]
