"""The text of a module with the types of endpoints."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import attrs

from fal_async.protocol.schemas.endpoint_schema import EndpointSchema
from fal_async.typegen.adapting import adapted
from fal_async.typegen.class_names import Names, names_of
from fal_async.typegen.declarations import (
    Choice,
    Declared,
    Either,
    EndpointTypes,
    Field,
    Limited,
    NamedChoice,
    Of,
    Record,
    To,
    Type,
    replaced,
)
from fal_async.typegen.identifiers import field_name, words_joined
from fal_async.typegen.layout import (
    WIDTH,
    Alternatives,
    Brackets,
    Expression,
    assignment,
    breakable,
    docstring,
    flat,
    literal,
    string,
)
from fal_async.typegen.schema_reading import endpoint_types
from fal_async.typegen.styles import PYDANTIC_BASE, STYLES, Style

_INDENT = "    "
_TYPING = ("Annotated", "Any", "Literal", "NotRequired", "TypeAlias", "TypedDict")
_OURS = ("Endpoint", "FileInput", "Null")


def module_text(schemas: Sequence[EndpointSchema], *, style: str, command: str) -> str:
    """Return the text of a module with the types of endpoints.

    The same schemas give the same text. Texts of the schemas, such as descriptions, are only in docstrings and
    literals, so that they can't become code.

    Args:
        schemas: those of the endpoints, in the order of the module.
        style: a name in `STYLES`.
        command: the command that makes the module, which its docstring shows.
    """
    how = STYLES[style]
    endpoints = [adapted(endpoint_types(schema), how) for schema in schemas]
    writer = _Writer(style=how, names=names_of(endpoints))
    declared = {to: each for types in endpoints for to, each in types.declared.items()}
    classes = [
        line
        for to in writer.names.order
        for line in writer.declaration(writer.names.classes[to], declared[to])
    ]
    values = [line for types in endpoints for line in writer.endpoint(types)]
    # The command is on one line, so that it can be copied.
    head = docstring(
        ["Types of fal's endpoints, made from fal's own schemas by this command:", command],
        "",
        width=sys.maxsize,
    )
    base = PYDANTIC_BASE if how.module == "pydantic" else ()
    return "\n".join([*head, *writer.imports(), *base, *classes, "", "", *values]) + "\n"


@attrs.define(kw_only=True, eq=False)
class _Writer:
    style: Style
    names: Names
    used: set[str] = attrs.field(factory=set, init=False)
    """Names that have to be imported."""

    def imports(self) -> list[str]:
        """Return the lines of the imports. Called last, when `used` is complete."""
        module = self.style.module
        standard = ["import dataclasses"] if module == "dataclasses" else []
        if names := self._used(_TYPING):
            standard.append(f"from typing import {names}")
        others = [] if module in ("dataclasses", "typing") else [f"import {module}"]
        others.append(f"from fal_async import {self._used(_OURS)}")
        groups = [["from __future__ import annotations"], standard, others]
        return [line for group in groups if group for line in ["", *group]]

    def declaration(self, name: str, declared: Declared) -> list[str]:
        """Return the lines of a class or a choice, after two empty lines."""
        if isinstance(declared, NamedChoice):
            return [*self._alias(name, declared.choice), *docstring(declared.notes, "")]
        return self._class(name, declared)

    def endpoint(self, types: EndpointTypes) -> list[str]:
        """Return the lines of the `Endpoint` of an endpoint."""
        roots = {"input": types.input, "output": types.output}
        given = [f"{name}={flat(self._written(kind))}" for name, kind in roots.items() if kind is not None]
        call = Brackets(f"{self._name('Endpoint')}(", (string(types.endpoint_id), *given))
        return assignment(self.names.variables[types.endpoint_id], None, call)

    def _alias(self, name: str, choice: Choice) -> list[str]:
        return ["", "", *assignment(name, self._name("TypeAlias"), self._written(choice))]

    def _class(self, name: str, record: Record) -> list[str]:
        fields = [field for field in record.fields if field.name != record.tag]
        names = self._identifiers(fields)
        odd = [field for field in fields if self.style.is_mapping and names[field.name] != field.name]
        above, base = self._keys(name, odd) if odd else ([], self.style.base)
        notes = [f"`{field.name}`: {' '.join(field.notes)}" for field in odd if field.notes]
        body = docstring([*record.notes, *notes], _INDENT)
        for field in (field for field in fields if field not in odd):
            aliases, lines = self._field(name, names[field.name], field)
            above += aliases
            about = docstring(field.notes, _INDENT)
            separate = body and (about or body[-1].endswith('"""'))
            body += [*([""] if separate else []), *lines, *about]
        head = Brackets(f"class {name}(", (*map(self._name, base), *self._tag(record)))
        decorator = [self.style.decorator] if self.style.decorator else []
        lines = breakable(head, ":") if head.items else [f"class {name}:"]
        return [*above, "", "", *decorator, *lines, *(body or [f"{_INDENT}pass"])]

    def _tag(self, record: Record) -> list[str]:
        """Return the arguments of the base class that tell the class from others of a union."""
        for field in record.fields:
            if field.name == record.tag and isinstance(field.type, Choice):
                return [f"tag_field={string(field.name)}", f"tag={literal(field.type.values[0])}"]
        return []

    def _keys(self, name: str, fields: Sequence[Field]) -> tuple[list[str], tuple[str, ...]]:
        """Return the base class of a TypedDict, and its name: it has the keys that are not identifiers."""
        keys = tuple(
            f"{string(field.name)}: {string(flat(self._annotation(field, field.type)))}" for field in fields
        )
        call = Brackets(f"{self._name('TypedDict')}(", (string(f"_{name}Keys"), Brackets("{", keys)))
        return ["", "", *assignment(f"_{name}Keys", None, call)], (f"_{name}Keys",)

    def _identifiers(self, fields: Sequence[Field]) -> dict[str, str]:
        """Return the name of each field in Python. Fields whose own name is possible keep it."""
        taken = self.names.taken | self.style.reserved
        found = {field.name: field.name for field in fields if field_name(field.name, taken) == field.name}
        taken |= set(found)
        for name in (field.name for field in fields if field.name not in found):
            found[name] = field_name(name, taken)
            taken.add(found[name])
        return found

    def _field(self, owner: str, name: str, field: Field) -> tuple[list[str], list[str]]:
        """Return the lines of a field, and those above the class: a choice that is too long has a name there."""
        value, kind, above = self._value(name, field), self._annotation(field, field.type), []
        if len(f"{_INDENT}{name}: {flat(kind)} = {flat(value or '')}") > WIDTH:

            def by(each: Type) -> Type:
                if not isinstance(each, Choice):
                    return each
                short = owner + words_joined(field.name)
                to = To(scope="", name=self.names.free([short, f"{short}Choice"]))
                self.names.classes[to] = to.name
                above.extend(self._alias(to.name, each))
                return to

            kind = self._annotation(field, replaced(field.type, by))
        return above, assignment(name, kind, value, _INDENT)

    def _value(self, name: str, field: Field) -> Expression | None:
        """Return the default of a field, or the call that describes it."""
        default = (
            literal(field.type.values[0]) if field.has_value and isinstance(field.type, Choice) else None
        )
        if self.style.is_mapping:
            return None
        if default is None and not field.required:
            default = "None"
        if name == field.name:
            return default
        given = [] if default is None else [f"default={default}"]
        return Brackets(f"{self.style.field}(", (*given, *self.style.renamed(field.name)))

    def _annotation(self, field: Field, kind: Type) -> Expression:
        if self.style.is_mapping and not field.required:
            return Brackets(f"{self._name('NotRequired')}[", (self._written(kind),))
        return self._written(kind)

    def _written(self, kind: Type) -> Expression:
        if isinstance(kind, To):
            return self.names.classes[kind]
        if isinstance(kind, Choice):
            return Brackets(f"{self._name('Literal')}[", tuple(map(literal, kind.values)))
        if isinstance(kind, Of):
            return Brackets(f"{kind.head}[", tuple(map(self._written, kind.inner)))
        if isinstance(kind, Either):
            return Alternatives(tuple(map(self._written, kind.members)))
        if isinstance(kind, Limited):
            limits = tuple(f"{name}={limit!r}" for name, limit in kind.limits)
            call = Brackets(f"{self.style.limits}(", limits)
            return Brackets(f"{self._name('Annotated')}[", (self._written(kind.inner), call))
        return self._name(kind.text)

    def _name(self, name: str) -> str:
        self.used.add(name)
        return name

    def _used(self, names: Sequence[str]) -> str:
        return ", ".join(name for name in names if name in self.used)
