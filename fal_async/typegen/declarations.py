"""What a module declares: records with their fields, named choices, and the types of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs


@attrs.frozen
class Word:
    """A type that is written as one word, such as `str`."""

    text: str


@attrs.frozen
class Choice:
    """One of some str, int and bool: a `Literal`."""

    values: tuple[Any, ...]


@attrs.frozen
class Of:
    """A container, such as `list[str]`."""

    head: str
    inner: tuple[Type, ...]


@attrs.frozen
class Either:
    """A value of one of several types. Made by `either`."""

    members: tuple[Type, ...]


@attrs.frozen
class Limited:
    """A value with limits, under the names that pydantic and msgspec have for them, such as `ge`."""

    inner: Type
    limits: tuple[tuple[str, int | float], ...]


@attrs.frozen
class To:
    """A reference to a record, or to a named choice."""

    scope: str = attrs.field(repr=False)
    """The input or the output of one endpoint. Not in `repr`, so that equal records of two scopes look the same."""
    name: str


Type: TypeAlias = Word | Choice | Of | Either | Limited | To

ANY, NONE, FILE, NULL = Word("Any"), Word("None"), Word("FileInput"), Word("Null")
ANY_OBJECT = Of("dict", (Word("str"), ANY))


@attrs.frozen(kw_only=True)
class Field:
    """One field of a record.

    Attributes:
        name: its name in JSON.
        type: its type as the schema says, with None if the value may be null.
        required: whether it must be there.
        has_default: whether a missing value has another meaning than null.
        notes: the paragraphs of its docstring.
        has_value: whether it has its only possible value, which is therefore its default; default False.
    """

    name: str
    type: Type
    required: bool
    has_default: bool
    notes: tuple[str, ...]
    has_value: bool = False


@attrs.frozen(kw_only=True)
class Record:
    """A class of the module.

    Attributes:
        base: its name, if no other record has it.
        notes: the paragraphs of its docstring.
        fields: in the order of the schema.
        is_input: whether it is a part of an input.
        tag: the field whose value tells the record from others of a union. None (default): there is none.
    """

    base: str
    notes: tuple[str, ...]
    fields: tuple[Field, ...]
    is_input: bool
    tag: str | None = None


@attrs.frozen(kw_only=True)
class NamedChoice:
    """A choice that the schema has under a name, such as `ImageFormat`."""

    base: str
    notes: tuple[str, ...]
    choice: Choice


Declared: TypeAlias = Record | NamedChoice
Declarations: TypeAlias = Mapping[To, Declared]


@attrs.frozen(kw_only=True)
class EndpointTypes:
    """The types of one endpoint.

    Attributes:
        endpoint_id: such as "fal-ai/flux/dev".
        input: the type of the input. None: the schema does not say.
        output: the type of the output. None: the schema does not say, or no class stands for it.
        declared: all records and choices that these two use.
    """

    endpoint_id: str
    input: Type | None
    output: Type | None
    declared: Declarations


def either(types: Iterable[Type]) -> Type:
    """Return the union of types: each once, all choices in one, and `Null` and None at the end."""
    flat = list(dict.fromkeys(inner for each in types for inner in members_of(each)))
    if ANY in flat:
        return ANY
    # With their types, because 1 and True are equal.
    values = {
        (type(value), value): value for each in flat if isinstance(each, Choice) for value in each.values
    }
    found: list[Type] = [each for each in flat if each not in (NULL, NONE) and not isinstance(each, Choice)]
    found += [Choice(tuple(values.values()))] if values else []
    found += [each for each in (NULL, NONE) if each in flat]
    return found[0] if len(found) == 1 else Either(tuple(found)) if found else ANY


def members_of(kind: Type) -> tuple[Type, ...]:
    """Return the members of a union; of any other type, the type itself."""
    return kind.members if isinstance(kind, Either) else (kind,)


def without(kind: Type, member: Type) -> list[Type]:
    """Return the members of a type that differ from `member`."""
    return [each for each in members_of(kind) if each != member]


def inside(kind: Type) -> Iterator[Type]:
    """Yield a type, and every type that it contains."""
    yield kind
    inner = kind.inner if isinstance(kind, Of) else (kind.inner,) if isinstance(kind, Limited) else ()
    for each in kind.members if isinstance(kind, Either) else inner:
        yield from inside(each)


def replaced(kind: Type, by: Callable[[Type], Type]) -> Type:
    """Return a type with every type that it contains, and then itself, replaced by the result of a function."""
    if isinstance(kind, Of):
        kind = Of(kind.head, tuple(replaced(each, by) for each in kind.inner))
    elif isinstance(kind, Limited):
        kind = Limited(replaced(kind.inner, by), kind.limits)
    elif isinstance(kind, Either):
        kind = either([replaced(each, by) for each in kind.members])
    return by(kind)
