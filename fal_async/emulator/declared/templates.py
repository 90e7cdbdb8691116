"""Templates: values of JSON whose texts contain placeholders, such as `"O {input.theme}!"`.

`{input.a.b}` and `{input.a.0}` are values of the input, `{request_id}` and `{endpoint_id}` those of the call,
`{file:cat.png}` is the file object of a file on disk, and `{url:cat.png}` its URL. After `|` follows the value for
an input that lacks it, as JSON or as text: `{input.seed|42}`. A text that is one placeholder becomes the value
itself, with its type; within a text, values other than texts are written as JSON. `{{` and `}}` are braces.
"""

from __future__ import annotations

import asyncio
import json
import math
import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from fal_async.emulator.declared.placed_values import DocumentError, Placed
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.schemas.sample_model import SampleModel
from fal_async.emulator.wire.answers import ModelError, detail_entry

_PART = re.compile(r"\{\{|\}\}|\{(?P<inside>[^{}]*)\}|[{}]")
_PLAIN = ("request_id", "endpoint_id")
_FORMS = "{input.name}, {input.name|default}, {request_id}, {endpoint_id}, {file:path} or {url:path}"
_NONE = object()


@attrs.frozen
class Source:
    """What placeholders can name."""

    input: Any
    job: JobContext


@attrs.frozen
class Placeholder:
    """One placeholder. `kind`: input, request_id, endpoint_id, file or url."""

    kind: str
    path: tuple[str, ...] = ()
    default: Any = _NONE
    file: Path | None = None

    async def value(self, source: Source) -> Any:
        """Return its value. ModelError 422 for an input that lacks it, as fal answers for a required field."""
        if self.file is not None:
            found = await _stored(self.file, source.job)
            return found if self.kind == "file" else found["url"]
        if self.kind != "input":
            return getattr(source.job, self.kind)
        value = find(source.input, self.path, self.default)
        if value is _NONE:
            raise ModelError(
                422, [detail_entry(["body", *self.path], "Field required", "missing", source.input)]
            )
        return value


@attrs.frozen
class Text:
    """A text with placeholders; `parts` are texts and placeholders."""

    parts: tuple[str | Placeholder, ...]

    async def value(self, source: Source) -> Any:
        if len(self.parts) == 1 and isinstance(self.parts[0], Placeholder):
            return await self.parts[0].value(source)
        values = [part if isinstance(part, str) else await part.value(source) for part in self.parts]
        return "".join(value if isinstance(value, str) else json.dumps(value) for value in values)


Template = Any
"""A value of JSON, with `Text` in place of texts that have placeholders; or a model that makes samples."""


def read_template(given: Placed, folder: Path | None) -> Template:
    """Return the template of a value. `folder`: where its files are; None: it may not name files.

    Raises:
        DocumentError: If a placeholder is wrong, a file is missing, or the value is not JSON.
    """
    value = given.value
    if isinstance(value, dict):
        return {key: read_template(member, folder) for key, member in given.table().items()}
    if isinstance(value, list):
        return [read_template(item, folder) for item in given.items()]
    if isinstance(value, str):
        parts = tuple(_parts(given, folder))
        return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else Text(parts)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise given.wrong("expected a value of JSON (write a date or a time as a text)")


async def fill(template: Template, source: Source) -> Any:
    """Return the value of a template. Raises ModelError 422 if the input lacks a value without a default."""
    if isinstance(template, Text):
        return await template.value(source)
    if isinstance(template, SampleModel):
        return await template(source.input, source.job)
    if isinstance(template, dict):
        return {key: await fill(value, source) for key, value in template.items()}
    if isinstance(template, list):
        return [await fill(value, source) for value in template]
    return template


def find(value: Any, path: tuple[str, ...], default: Any = None) -> Any:
    """Return the value at a path of keys and positions; `default` if there is none."""
    for name in path:
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return default
    return value


def _parts(given: Placed, folder: Path | None) -> Iterator[str | Placeholder]:
    text, at = given.text(), 0
    for match in _PART.finditer(text):
        if match.start() > at:
            yield text[at : match.start()]
        at = match.end()
        if match["inside"] is not None:
            yield _placeholder(given, match["inside"], folder)
        elif match[0] in ("{{", "}}"):
            yield match[0][0]
        else:
            raise DocumentError(f"{given.place}: a single {match[0]} in a text: write {match[0] * 2}")
    if at < len(text):
        yield text[at:]


def _placeholder(given: Placed, inside: str, folder: Path | None) -> Placeholder:
    kind, colon, name = inside.partition(":")
    if colon and kind in ("file", "url"):
        return Placeholder(kind, file=_file(given, name.strip(), folder))
    name, bar, default = inside.partition("|")
    first, *path = name.strip().split(".")
    if first == "input" and all(path):
        return Placeholder("input", tuple(path), _default(default) if bar else _NONE)
    if first in _PLAIN and not path and not bar:
        return Placeholder(first)
    raise DocumentError(
        f"{given.place}: {{{inside}}} is not a placeholder: expected {_FORMS}; {{{{ is a brace"
    )


def _default(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text


def _file(given: Placed, name: str, folder: Path | None) -> Path:
    if folder is None:
        raise DocumentError(f"{given.place}: files on disk can only be named in a file of endpoints")
    path = folder / name
    if not path.is_file():
        raise DocumentError(f"{given.place}: there is no file {path}")
    return path


async def _stored(path: Path, job: JobContext) -> dict[str, Any]:
    data = await asyncio.to_thread(path.read_bytes)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return await job.file(data, kind, path.name)
