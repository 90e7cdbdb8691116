"""Makes values that fit a JSON schema, always the same ones for the same seed.

It is written by hand after a comparison of four libraries, on 16 small schemas and on what they need:

- jsf 0.11 made a valid value for 11 of them (not for `allOf`, tuples, `additionalProperties`, overlapping `oneOf`,
  boolean schemas), draws from Python's global random generator and from today's date, and brings Faker (25 MB).
- hypothesis-jsonschema 0.23 refuses recursive schemas, is meant for tests, and takes 0.3 s for a value.
- polyfactory 3.5 makes values of Python classes, and not of schemas.

None of them has a place for what matters most here: files that exist, the number and size of pictures that the
input asks for, and members that repeat the input.
"""

from __future__ import annotations

import math
import random
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from fal_async.emulator.schemas.file_places import FileWish, wished_file
from fal_async.emulator.schemas.merged_schema import Merger

_FULL_DEPTH = 6
"""Objects within so many others have only their required members, so that recursive schemas end."""
_MAX_STEPS = 5_000
"""Values within a value."""
_MAX_LENGTH = 100_000
_NOUNS = (
    "water",
    "glass",
    "river",
    "paper",
    "signal",
    "garden",
    "copper",
    "window",
    "thread",
    "orbit",
    "letter",
)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_TRIED = (
    "a",
    "A",
    "0",
    "1",
    "abc",
    "ABC",
    "abcd1234",
    "1.0.0",
    "16:9",
    "1024x768",
    "#a1b2c3",
    "en",
    "en-US",
    "0.5",
)
"""Texts that are tried for a pattern."""


class NoSample(ValueError):
    """No value was found that fits the schema."""


@attrs.frozen(kw_only=True)
class Wanted:
    """What a sample follows, beside the schema.

    Attributes:
        seed: decides each choice.
        count: how many items lists at the top have.
        repeated: members of the input. A member of the output with the same name repeats it.
        attempt: which of the possible samples is made: with the examples of the schema for scalars or for lists and
            objects, and with the first or a later alternative of each union.
    """

    seed: str
    count: int = 1
    repeated: Mapping[str, Any] = attrs.field(factory=dict)
    attempt: int = 0


def sample(root: Mapping[str, Any], wanted: Wanted) -> Any:
    """Return a value for the normal schema `root`, with a `FileWish` in each place of a file.

    Most values fit the schema. Where keywords are not followed, such as `not` and `if`, the caller finds out.

    Raises NoSample if the schema asks for too much, or refers to itself without end.
    """
    try:
        return _Maker(root, wanted).make(root, "", 0)
    except RecursionError:
        raise NoSample("it refers to itself without end") from None


class _Maker:
    def __init__(self, root: Mapping[str, Any], wanted: Wanted) -> None:
        self._wanted = wanted
        self._merger = Merger(root, wanted.attempt // 2)
        self._by_example = wanted.attempt % 2 == 0
        self._dice = random.Random(f"fal-emulator:{wanted.seed}")
        self._steps = 0

    def make(self, schema: Any, name: str, depth: int) -> Any:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise NoSample(f"it asks for more than {_MAX_STEPS:,} values")
        whole = self._merger.merged(schema)
        kind = _kind(whole, "string" if depth else "object")
        wish = wished_file(whole, name)
        if wish is not None:
            return self._file(wish, whole, depth)
        if "const" in whole:
            return whole["const"]
        # An example of a list or an object may have files that don't exist.
        if self._by_example is (kind not in ("object", "array")) and (given := _given(whole)) is not None:
            return given
        if choices := whole.get("enum"):
            return self._dice.choice([one for one in choices if one is not None] or choices)
        makers = {"object": self._object, "array": self._array, "string": self._text, "number": self._number}
        if kind in makers:
            return makers[kind](whole, name, depth)
        return self._integer(whole, name) if kind == "integer" else False if kind == "boolean" else None

    def _file(self, wish: FileWish, schema: Mapping[str, Any], depth: int) -> FileWish:
        about = self._object(schema, "", depth) if wish.members else {}
        return attrs.evolve(wish, about={name: value for name, value in about.items() if name != "url"})

    def _object(self, schema: Mapping[str, Any], _: str, depth: int) -> dict[str, Any]:
        members, required = schema.get("properties", {}), schema.get("required", ())
        full = depth < _FULL_DEPTH
        # A success has no `error`, though its schema may.
        optional = [name for name in members if full and not name.startswith("error")]
        names = dict.fromkeys([*optional, *required])
        more = schema.get("additionalProperties", True)
        found = {name: self._member(members.get(name, more), name, depth) for name in names}
        least = max(schema.get("minProperties", 0), full and not members and isinstance(more, Mapping))
        for number in range(_possible(least) - len(found)):
            found[f"key{number + 1}"] = self.make(more, "", depth + 1)
        return found

    def _member(self, schema: Any, name: str, depth: int) -> Any:
        given = self._wanted.repeated.get(name) if depth == 0 else None
        if isinstance(given, str | int | float) and wished_file(self._merger.merged(schema), name) is None:
            return given
        return self.make(schema, name, depth + 1)

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        usual = 0 if depth >= _FULL_DEPTH else self._wanted.count if depth <= 1 else 1
        count = int(min(max(usual, _possible(least), len(first)), most))
        items: list[Any] = []
        for number in range(count):
            part = first[number] if number < len(first) else schema.get("items", True)
            items.append(self.make(part, name, depth + 1))
            if schema.get("uniqueItems"):
                items[-1] = self._other_than(items[:-1], items[-1], part, name, depth)
        return items

    def _other_than(self, earlier: list[Any], value: Any, schema: Any, name: str, depth: int) -> Any:
        for _ in range(20):
            if value not in earlier:
                break
            self._by_example, before = False, self._by_example
            value = self.make(schema, name, depth + 1)
            self._by_example = before
        return value

    def _text(self, schema: Mapping[str, Any], name: str, _: int) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", _MAX_LENGTH)
        if least > _MAX_LENGTH:
            raise NoSample(f"it asks for a text of {least} characters")
        text = self._of_format(schema.get("format", "")) or " ".join(self._words(name))
        if pattern := schema.get("pattern"):
            tried = (text, *_TRIED, *self._formats().values())
            text = next((one for one in tried if re.search(pattern, one) and least <= len(one) <= most), text)
        while len(text) < least:
            text += " " + text if text else "a"
        return text[:most] if len(text) > most else text

    def _words(self, name: str) -> Iterable[str]:
        yield name.replace("_", " ") or "text"
        for _ in range(3):
            yield self._dice.choice(_NOUNS)

    def _of_format(self, name: str) -> str | None:
        return self._formats().get(name)

    def _formats(self) -> dict[str, str]:
        moment = _EPOCH + timedelta(seconds=self._dice.randrange(30_000_000))
        number = self._dice.getrandbits(128)
        address = f"https://example.com/{number % 10_000}"
        return {
            "date-time": moment.isoformat(),
            "date": moment.date().isoformat(),
            "time": moment.timetz().isoformat(),
            "duration": "PT5S",
            "uuid": str(uuid.UUID(int=number, version=4)),
            "email": f"user{number % 1000}@example.com",
            "hostname": "example.com",
            "ipv4": "192.0.2.1",
            "ipv6": "2001:db8::1",
            "uri": address,
            "url": address,
            "uri-reference": address,
        }

    def _integer(self, schema: Mapping[str, Any], name: str) -> int:
        low, high = _borders(schema)
        step = schema.get("multipleOf", 1)
        step = step if float(step).is_integer() else 1
        start, end = math.ceil(max(low, -(2**62))), math.floor(min(high, 2**62))
        if low == -math.inf:
            start = min(0, end) if high == math.inf or end >= 0 else end - 100
        if high == math.inf:
            end = start + (2**32 if name == "seed" else 100)
        first, last = -(-start // int(step)), end // int(step)
        return int(step) * (self._dice.randint(first, last) if first < last else first)

    def _number(self, schema: Mapping[str, Any], _: str, __: int) -> float:
        low, high = _borders(schema)
        if low == -math.inf:
            low = min(0.0, high - 1) if high < math.inf else 0.0
        high = low + 1 if high == math.inf else high
        if step := schema.get("multipleOf"):
            first = math.ceil(low / step)
            return float(
                (first if first * step > low or "exclusiveMinimum" not in schema else first + 1) * step
            )
        value = low + (high - low) * self._dice.uniform(0.1, 0.9)
        rounded = round(value, 3)
        return rounded if low < rounded < high else value


def _possible(count: int) -> int:
    if count > _MAX_STEPS:
        raise NoSample(f"it asks for {count} values")
    return count


def _borders(schema: Mapping[str, Any]) -> tuple[float, float]:
    """Return the limits of a number; for an integer the least and greatest integer, also if they are exclusive."""
    low, above = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)
    high, below = schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf)
    if schema.get("type") == "integer":
        above = above if above == -math.inf else math.floor(above) + 1
        below = below if below == math.inf else math.ceil(below) - 1
    return max(low, above), min(high, below)


def _given(schema: Mapping[str, Any]) -> Any:
    """Return the value that the schema itself gives; None without one."""
    examples = schema.get("examples")
    return next(
        (
            value
            for value in (schema.get("default"), schema.get("example"), *(examples or ()))
            if value is not None
        ),
        None,
    )


_BY_KEYWORD = (
    ("object", ("properties", "required", "additionalProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


def _kind(schema: Mapping[str, Any], usual: str) -> str:
    """Return the type of a value; of several types the first one that is not null. `usual`: if any is allowed."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds:
        return next((kind for kind in kinds if kind != "null"), "null")
    if any(word in schema for word in ("minLength", "maxLength", "pattern", "format")):
        return "string"
    return next((kind for kind, words in _BY_KEYWORD if any(word in schema for word in words)), usual)
