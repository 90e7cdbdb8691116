"""The definition of a workflow, checked when it is saved (protocol 15.3): pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import attrs

from fal_async.emulator.workflows.references import INPUT, references_in

_LONGEST = 5
"""How many names of nodes a message has."""


class DefinitionError(ValueError):
    """Raised if a definition can't be run."""


@attrs.frozen(kw_only=True)
class Node:
    """One node.

    Attributes:
        node_id: its name.
        app: the endpoint that it calls. None: it calls none, so its output is its `content`.
        content: the input of the call, or the fields that it shows, with references; None: the workflow's input.
        needs: the nodes whose outputs it refers to, or that it depends on.
    """

    node_id: str
    app: str | None
    content: Any
    needs: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Definition:
    """The nodes of a workflow, and its output with references."""

    nodes: Mapping[str, Node]
    output: Any

    @property
    def apps(self) -> dict[str, str]:
        """The endpoints that are called, and for each the first node that calls it."""
        return {node.app: node.node_id for node in reversed([*self.nodes.values()]) if node.app is not None}

    def order(self) -> TopologicalSorter[str]:
        """Return the nodes in an order in which each comes after those that it needs; prepared."""
        sorter = TopologicalSorter({name: node.needs for name, node in self.nodes.items()})
        sorter.prepare()
        return sorter


def read_definition(contents: Any) -> Definition:
    """Return the definition in the contents of a workflow: an object with `nodes`, or the nodes themselves.

    Without `output`, the fields of the display nodes are the output.

    Raises:
        DefinitionError: If something in it can't be run; the message has the place and what was expected.
    """
    if not isinstance(contents, Mapping):
        raise DefinitionError("expected an object with nodes")
    given = contents.get("nodes", contents)
    if not isinstance(given, Mapping) or not all(isinstance(node, Mapping) for node in given.values()):
        raise DefinitionError("nodes: expected an object of objects")
    _check_schema(contents.get("schema") if "nodes" in contents else None)
    nodes = {name: _node(name, node, given) for name, node in given.items()}
    output = contents.get("output") if "nodes" in contents else None
    if output is None:
        output = {k: v for node in given.values() if _is_display(node) for k, v in _fields(node).items()}
    _check_references("output", output, given)
    definition = Definition(nodes=nodes, output=output)
    try:
        definition.order()
    except CycleError as error:
        names = " -> ".join(error.args[1][::-1])
        raise DefinitionError(
            f"nodes: {names} need each other's outputs, so none of them can begin"
        ) from None
    return definition


def _node(name: str, node: Mapping[str, Any], nodes: Mapping[str, Any]) -> Node:
    place, kind, app = f"nodes.{name}", node.get("type"), node.get("app")
    runs = kind == "run" or (kind is None and app is not None)
    if runs and (not isinstance(app, str) or not app):
        raise DefinitionError(f"{place}.app: expected the id of an endpoint, such as 'fal-ai/flux/dev'")
    depends = node.get("depends") or ()
    if not isinstance(depends, list | tuple) or not all(isinstance(one, str) for one in depends):
        raise DefinitionError(f"{place}.depends: expected a list of names of nodes")
    content = node.get("input") if runs else None if kind == INPUT else _fields(node) or node.get("input")
    _check_references(place, content, nodes)
    for one in depends:
        _check_name(f"{place}.depends", one, one, nodes)
    used = [*depends, *(reference.node for reference in references_in(content))]
    needs = tuple(dict.fromkeys(one for one in used if one != INPUT))
    return Node(node_id=name, app=str(app) if runs else None, content=_content(content, kind), needs=needs)


def _content(content: Any, kind: Any) -> Any:
    return {} if content is None and kind != INPUT else content


def _is_display(node: Mapping[str, Any]) -> bool:
    return node.get("type") == "display"


def _fields(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a display node by name; a list of references has the names of their last members."""
    fields = node.get("fields")
    if isinstance(fields, list):
        return dict(_named(fields))
    return fields if isinstance(fields, Mapping) else {}


def _named(fields: list[Any]) -> Iterator[tuple[str, Any]]:
    for number, field in enumerate(fields):
        reference = next(references_in(field), None)
        yield (reference.path[-1] if reference is not None and reference.path else str(number)), field


def _check_schema(schema: Any) -> None:
    if schema is not None and not isinstance(schema, Mapping):
        raise DefinitionError("schema: expected an object with input and output")
    for name in ("input", "output"):
        if not isinstance((schema or {}).get(name, {}), Mapping):
            raise DefinitionError(f"schema.{name}: expected an object of fields")


def _check_references(place: str, value: Any, nodes: Mapping[str, Any]) -> None:
    for reference in references_in(value):
        _check_name(place, reference.text, reference.node, nodes)


def _check_name(place: str, text: str, name: str, nodes: Mapping[str, Any]) -> None:
    if name != INPUT and name not in nodes:
        known = ", ".join([INPUT, *list(nodes)[:_LONGEST]]) + (", ..." if len(nodes) > _LONGEST else "")
        raise DefinitionError(
            f"{place}: {text!r} refers to a node that does not exist: expected one of {known}"
        )
