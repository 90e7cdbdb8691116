"""Definitions of workflows: their references, their order, and what can't be run (protocol 15.3)."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async.emulator.workflows.definition import DefinitionError, read_definition
from fal_async.emulator.workflows.field_schemas import defaults_of, object_schema
from fal_async.emulator.workflows.references import NoValue, filled

VALUES: dict[str, Any] = {
    "input": {"prompt": "a cat", "size": None},
    "node_1": {"images": [{"url": "u0"}, {"url": "u1"}], "seed": 7},
}


def run(app: str = "me/app", **members: Any) -> dict[str, Any]:
    return {"type": "run", "app": app, **members}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("$input.prompt", "a cat"),
        ("$node_1.images.1.url", "u1"),
        ("$node_1.images", [{"url": "u0"}, {"url": "u1"}]),
        ("$input", {"prompt": "a cat", "size": None}),
        (["$node_1.seed", {"deep": "$input.prompt"}, 3], [7, {"deep": "a cat"}, 3]),
        ({"size": "$input.size", "n": "$input.n"}, {"size": None}),
        (["$input.n"], [None]),
        ("$input.n", None),
        ("it costs $5", "it costs $5"),
        ("$5.00", "$5.00"),
    ],
    ids=str,
)
def test_references_are_replaced_by_the_values_that_they_name(given: Any, expected: Any) -> None:
    assert filled(given, VALUES) == expected


@pytest.mark.parametrize("text", ["$node_1.images.2.url", "$node_1.images.x", "$node_1.seed.0", "$node_1.no"])
def test_a_reference_to_a_member_that_an_output_lacks_is_an_error(text: str) -> None:
    with pytest.raises(
        NoValue, match=r"^\$node_1.* has no value: the output of the node node_1 has no member"
    ):
        filled({"a": text}, VALUES)


def test_nodes_come_after_those_that_they_refer_to_or_depend_on() -> None:
    nodes = {
        "c": run(depends=["b", "input"]),
        "b": run(input={"x": ["$a.y"]}),
        "a": run(input={"p": "$input.p"}),
    }
    definition = read_definition({"nodes": nodes, "output": {"all": "$c.z"}})
    assert definition.nodes["c"].needs == ("b",)
    order, names = definition.order(), list[str]()
    while order.is_active():
        names += (ready := order.get_ready())
        order.done(*ready)
    assert names == ["a", "b", "c"]


def test_without_an_output_the_fields_of_display_nodes_are_the_output() -> None:
    nodes = {"a": run(), "shown": {"type": "display", "fields": ["$a.images.0.url", "text"]}}
    assert read_definition(nodes).output == {"url": "$a.images.0.url", "1": "text"}
    assert read_definition({"nodes": nodes, "output": {"x": "$shown.url"}}).output == {"x": "$shown.url"}


def test_nodes_of_unknown_kinds_are_accepted_and_call_nothing() -> None:
    definition = read_definition(
        {"nodes": {"note": {"type": "sticky", "text": "hello"}, "in": {"type": "input"}}}
    )
    assert [node.app for node in definition.nodes.values()] == [None, None]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (None, "expected an object with nodes"),
        ({"nodes": []}, "nodes: expected an object of objects"),
        ({"nodes": {}, "schema": 1}, "schema: expected an object with input"),
        ({"nodes": {}, "schema": {"input": []}}, "schema.input: expected an object of fields"),
        ({"nodes": {"a": 1}}, "nodes: expected an object of objects"),
        ({"nodes": {"a": {"type": "run"}}}, "nodes.a.app: expected the id of an endpoint"),
        ({"nodes": {"a": run(depends="b")}}, "nodes.a.depends: expected a list of names"),
        ({"nodes": {"a": run(depends=["b"])}}, "nodes.a.depends: 'b' refers to a node that does not exist"),
        (
            {"nodes": {"a": run(input={"x": "$b.y"})}},
            r"nodes.a: '\$b.y' refers to .*expected one of input, a$",
        ),
        ({"nodes": {"a": run()}, "output": {"x": "$b"}}, r"output: '\$b' refers to"),
        (
            {"nodes": {"a": run(input={"x": "$b.y"}), "b": run(depends=["a"])}},
            "nodes: .* -> .* -> .* need each other's outputs",
        ),
        ({"nodes": {"a": run(input={"x": "$a.y"})}}, "nodes: a -> a need each other's outputs"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_definition_that_cannot_be_run_is_refused_with_the_place(contents: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        read_definition(contents)


def test_fields_of_a_workflow_become_a_json_schema() -> None:
    fields = {
        "prompt": {"type": "string", "required": True, "label": "Prompt", "modelId": "x"},
        "images": {"type": {"kind": "list", "elementType": "string"}, "default": []},
        "odd": {"type": {"kind": "enum"}},
        "wrong": 1,
    }
    assert object_schema(fields) == {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "title": "Prompt"},
            "images": {"type": "array", "items": {"type": "string"}, "default": []},
            "odd": {},
        },
        "required": ["prompt"],
    }
    assert defaults_of(fields) == {"images": []}
