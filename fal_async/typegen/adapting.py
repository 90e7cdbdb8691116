"""The types of an endpoint as a style can express them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from fal_async.typegen.declarations import (
    ANY,
    ANY_OBJECT,
    FILE,
    NONE,
    NULL,
    Choice,
    Declarations,
    Either,
    EndpointTypes,
    Field,
    Limited,
    NamedChoice,
    Of,
    Record,
    To,
    Type,
    Word,
    either,
    inside,
    members_of,
    replaced,
    without,
)
from fal_async.typegen.identifiers import is_plain
from fal_async.typegen.styles import Style

_WIDEST: Mapping[str, Type] = {
    "record": ANY_OBJECT,
    "object": ANY_OBJECT,
    "array": Of("list", (ANY,)),
    "str": Word("str"),
    "int": Word("int"),
}
"""For each kind of value, the type that stands for several types of this kind."""


def adapted(types: EndpointTypes, style: Style) -> EndpointTypes:
    """Return the types with only what the style can express, and with the final type of each field."""
    tags = _tags(types.declared)
    adapter = _Adapter(declared=types.declared, tags=tags, style=style)
    return attrs.evolve(
        types,
        output=None if types.output is None else adapter.expressible(types.output, is_input=False),
        declared={
            to: adapter.record(to, each) if isinstance(each, Record) else each
            for to, each in types.declared.items()
        },
    )


@attrs.frozen(kw_only=True)
class _Adapter:
    declared: Declarations
    tags: Mapping[To, str]
    style: Style

    def record(self, to: To, record: Record) -> Record:
        tag = self.tags.get(to)
        return attrs.evolve(
            record,
            fields=tuple(self._field(field, record.is_input, tag) for field in record.fields),
            tag=tag if self.style.has_tags else None,
        )

    def _field(self, field: Field, is_input: bool, tag: str | None) -> Field:
        kind = self.expressible(field.type, is_input)
        if _constant(field) is not None and (field.required or field.name == tag):
            return attrs.evolve(field, type=kind, required=True, has_value=True)
        is_nullable = NONE in members_of(kind)
        if self.style.is_mapping:
            # In a dict, None is sent as null. An output may have null instead of no value.
            optional = kind if field.required or is_input else either([kind, NONE])
            return attrs.evolve(field, type=optional)
        if is_input and is_nullable and (field.required or field.has_default):
            # None is not sent, and null has another meaning than no value.
            kind = either([*without(kind, NONE), NULL])
        return attrs.evolve(field, type=kind if field.required else either([kind, NONE]))

    def expressible(self, kind: Type, is_input: bool) -> Type:
        def by(each: Type) -> Type:
            if isinstance(each, Limited) and self.style.limits is None:
                return each.inner
            if isinstance(each, Choice) and self.style.has_tags:  # msgspec has no bool in `Literal`
                plain = tuple(value for value in each.values if not isinstance(value, bool))
                choice: list[Type] = [Choice(plain)] if plain else []
                return each if plain == each.values else either([*choice, Word("bool")])
            return self._joined(each, is_input) if isinstance(each, Either) else each

        return replaced(kind, by)

    def _joined(self, union: Either, is_input: bool) -> Type:
        """Return a union in which the style can tell the members apart."""
        if FILE in union.members:
            return union
        members = list(union.members)
        for kind in sorted(self.style.joined):
            same = [each for each in members if kind in self._kinds(each)]
            # The caller makes an input, so that its objects and arrays need not be told apart.
            is_given = is_input and kind not in ("str", "int")
            if len(same) > 1 and not is_given and not self._told_apart(same):
                others = [each for each in members if each not in same]
                members = [*others, *_other_values(same, kind), _WIDEST[kind]]
        return either(members)

    def _kinds(self, kind: Type) -> tuple[str, ...]:
        while isinstance(kind, Limited):
            kind = kind.inner
        found = self.declared.get(kind) if isinstance(kind, To) else None
        if isinstance(found, Record):
            return ("record", "object")
        choice = found.choice if isinstance(found, NamedChoice) else kind
        if isinstance(choice, Choice):
            return tuple(map(_kind_of, choice.values))
        if isinstance(kind, Of):
            return ("object",) if kind.head == "dict" else ("array",)
        return (kind.text,) if isinstance(kind, Word) else ()

    def _told_apart(self, members: Iterable[Type]) -> bool:
        """Return whether an object shows which of several records it is."""
        records = [self.declared.get(each) if isinstance(each, To) else None for each in members]
        found = [each for each in records if isinstance(each, Record)]
        if len(found) < len(records):
            return False
        tag = _tag_of(found)
        if self.style.has_tags:
            return tag is not None and all(
                self.tags.get(each) == tag for each in members if isinstance(each, To)
            )
        if tag is not None and is_plain(tag):
            return True
        return all(
            {field.name for field in record.fields if field.required}
            - {field.name for other in found if other is not record for field in other.fields}
            for record in found
        )


def _other_values(kinds: Iterable[Type], kind: str) -> Iterator[Type]:
    """Yield what choices have beside the values of one kind."""
    for each in kinds:
        if isinstance(each, Choice) and (
            values := tuple(value for value in each.values if _kind_of(value) != kind)
        ):
            yield Choice(values)


def _kind_of(value: Any) -> str:
    return "str" if isinstance(value, str) else "int"


def _tags(declared: Declarations) -> dict[To, str]:
    """Return the field that tells each record from the others of its union."""
    tags: dict[To, str] = {}
    kinds = [
        kind
        for each in declared.values()
        if isinstance(each, Record)
        for field in each.fields
        for kind in inside(field.type)
    ]
    for kind in kinds:
        group = [each for each in members_of(kind) if isinstance(each, To)]
        records = [record for to in group if isinstance(record := declared.get(to), Record)]
        if len(records) > 1 and (tag := _tag_of(records)) is not None:
            for to in group:
                tags.setdefault(to, tag)
    return tags


def _tag_of(records: list[Record]) -> str | None:
    """Return the first field of which each record has another value; None if there is none."""
    values = [
        {field.name: value for field in record.fields if (value := _constant(field)) is not None}
        for record in records
    ]
    for name in values[0]:
        found = [each.get(name) for each in values]
        if None not in found and len(set(found)) == len(found) and len(set(map(type, found))) == 1:
            return name
    return None


def _constant(field: Field) -> Any:
    """Return the only value that a field can have; None if it can have others."""
    kind = field.type
    is_one = isinstance(kind, Choice) and len(kind.values) == 1 and not isinstance(kind.values[0], bool)
    return kind.values[0] if isinstance(kind, Choice) and is_one else None
