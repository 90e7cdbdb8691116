"""The names of a module's classes, of which equal ones become one, and different ones never clash."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Sequence

import attrs

from fal_async.typegen.declarations import (
    Declarations,
    EndpointTypes,
    Record,
    To,
    Type,
    Word,
    inside,
    replaced,
)
from fal_async.typegen.identifiers import RESERVED, class_name, endpoint_name, field_name, variable_name


@attrs.define(eq=False)
class Names:
    """The names in one module. Made by `names_of`."""

    taken: set[str] = attrs.field(factory=lambda: set(RESERVED))
    classes: dict[To, str] = attrs.field(factory=dict)
    """The name of each record and named choice. Equal ones have the same name."""
    order: list[To] = attrs.field(factory=list)
    """One record or choice for each name, those that are referred to first."""
    variables: dict[str, str] = attrs.field(factory=dict)
    """For each endpoint id, the variable of its `Endpoint`."""

    def free(self, candidates: Iterable[str]) -> str:
        """Take the first name that is free, or else the last one with a number."""
        last, number = "Value", 2
        for name in candidates:
            last = name or last
            if self._is_free(last):
                break
        name = last
        while not self._is_free(name):
            name, number = f"{last}{number}", number + 1
        self.taken.add(name)
        return name

    def _is_free(self, name: str) -> bool:
        return name not in self.taken and not keyword.iskeyword(name)


def names_of(endpoints: Sequence[EndpointTypes]) -> Names:
    """Return the names for the types of these endpoints, which do not depend on later endpoints if possible."""
    names = Names()
    for types in endpoints:
        whole = class_name(types.endpoint_id)
        for root, suffix in ((types.input, "Input"), (types.output, "Output")):
            if isinstance(root, To):
                names.classes[root] = names.free([types.declared[root].base, whole + suffix])
        names.variables[types.endpoint_id] = _variable(types.endpoint_id, names)
    of_outputs = {
        each.base
        for types in endpoints
        for each in types.declared.values()
        if isinstance(each, Record) and not each.is_input
    }
    known: dict[tuple[str, str], str] = {}
    for types in endpoints:
        for root in (types.input, types.output):
            for to in _referred(root, types.declared, set()) if root is not None else ():
                _name(to, types, names, known, of_outputs)
    return names


def _variable(endpoint_id: str, names: Names) -> str:
    short = variable_name(endpoint_id)
    taken = {*names.variables.values(), *names.taken}
    return field_name(endpoint_id.lower(), taken) if short in taken else short


def _name(
    to: To, types: EndpointTypes, names: Names, known: dict[tuple[str, str], str], of_outputs: set[str]
) -> None:
    if to in names.classes:  # an input or output as a whole
        names.order.append(to)
        return
    declared = types.declared[to]
    same = (declared.base, _signature(to, types.declared))
    if same not in known:
        is_input = isinstance(declared, Record) and declared.is_input
        base = declared.base + "Input" * (is_input and declared.base in of_outputs)
        known[same] = names.free([base, endpoint_name(types.endpoint_id) + base])
        names.order.append(to)
    names.classes[to] = known[same]


def _referred(kind: Type, declared: Declarations, seen: set[To]) -> Iterator[To]:
    """Yield the records and choices that a type refers to, each after those that it refers to itself."""
    for to in (each for each in inside(kind) if isinstance(each, To) and each not in seen):
        seen.add(to)
        found = declared[to]
        for field in found.fields if isinstance(found, Record) else ():
            yield from _referred(field.type, declared, seen)
        yield to


def _signature(to: To, declared: Declarations) -> str:
    """Return a text that is the same for equal records, also if they refer to themselves."""
    numbers = {to: 0}
    texts: list[str] = []

    def numbered(kind: Type) -> Type:
        return Word(f"#{numbers.setdefault(kind, len(numbers))}") if isinstance(kind, To) else kind

    while len(texts) < len(numbers):
        found = declared[list(numbers)[len(texts)]]
        if isinstance(found, Record):
            fields = [attrs.evolve(field, type=replaced(field.type, numbered)) for field in found.fields]
            found = attrs.evolve(found, fields=tuple(fields), is_input=False)
        texts.append(repr(found))
    return "\n".join(texts)
