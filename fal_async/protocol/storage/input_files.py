"""Files in the input of a model: where they are, and the same input with URLs in their place.

They are uploaded by `Storage.transform_input` of `storage/client.py`, for every call with files in its input.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fal_async.checks import check_str, checked
from fal_async.errors import ConfigurationError
from fal_async.protocol.json_input import LEAVES, encode_json, plain_value
from fal_async.protocol.storage.media import check_content_type
from fal_async.records import is_record

Path = tuple[str | int, ...]
"""Where something stands in an input: a text is a key of a mapping, a number a place in a list."""
_SCALARS, _SEQUENCES = (
    (str, int, float),
    (list, tuple),
)  # a union made anew each time costs as much as the test


def _check_type(_: Any, __: Any, value: str | None) -> None:
    check_content_type(value)


@attrs.frozen(eq=False)
class File:
    """A file with a name and a type of its own: for uploads, and anywhere in an input.

    Attributes:
        data: a path, bytes, a binary file object, an async iterable of bytes, or a Pillow image.
        content_type: such as "image/png"; by default from the name or the content.
        file_name: by default the path's or the file object's.
    """

    data: Any = attrs.field(repr=False)
    content_type: str | None = attrs.field(default=None, kw_only=True, validator=_check_type)
    file_name: str | None = attrs.field(
        default=None, kw_only=True, validator=checked(check_str, such_as="cat.png", or_none=True)
    )


def is_image(value: Any) -> bool:
    """A Pillow image, told without importing Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def is_path(value: Any) -> bool:
    """`os.PathLike`: of pathlib, anyio, a directory entry, ... Texts are none here."""
    return hasattr(type(value), "__fspath__")


def is_file_object(value: Any) -> bool:
    return isinstance(value, io.IOBase) or (callable(getattr(value, "read", None)) and not is_image(value))


def is_file(value: Any) -> bool:
    """Whether this, found in an input, is to be uploaded. Text stays text, also if it names a file."""
    return isinstance(value, File) or is_path(value) or is_image(value) or is_file_object(value)


def find_files(value: Any) -> list[Any]:
    """Every file anywhere in `value`, in order, repeated ones too. ConfigurationError for bare bytes.

    None in what can't be walked to its end: it can't be encoded either, and the encoder says why.
    """
    found: list[Any] = []

    def note(file: Any) -> str:
        found.append(file)
        return ""

    try:
        replace_files(value, note)
    except ConfigurationError:
        raise
    except Exception:  # nested too deeply, or a record whose fields can't be read
        return []
    return found


def files_to_send(value: Any) -> list[Any]:
    """The same of an input that is about to be sent: what JSON can't carry is told before anything is uploaded."""
    found = find_files(value)
    if found:
        encode_json(replace_files(value, lambda _: ""))
    return found


def replace_files(value: Any, url_of: Callable[[Any], str]) -> Any:
    """`value` with the URL of each file in its place.

    Nothing in `value` is changed; what holds no file is not copied either.
    A record (attrs, dataclass, pydantic, ...) with a file in it becomes a dict: its own fields may not take text.
    """
    return _replaced(value, lambda file, _: url_of(file), (), ())


def places_of(value: Any) -> tuple[Any, list[Path]]:
    """`value` with None in place of each file, and where the files stand, in the order of `find_files`.

    As it is, without places, where it can't be walked to its end, as there.
    """
    places: list[Path] = []
    try:
        return _replaced(value, lambda _, path: places.append(path), (), ()), places
    except ConfigurationError:
        raise
    except Exception:  # nested too deeply, or a record whose fields can't be read
        return value, []


def place_of(value: Any, number: int) -> str:
    """Where the file stands that `find_files` gives at that place, such as `input.images[2]`."""
    _, places = places_of(value)
    return _place("input", places[number])


def _place(name: str, path: Path) -> str:
    return name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _replaced(value: Any, by: Callable[[Any, Path], Any], path: Path, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, _SCALARS) or id(value) in above:
        return value
    if isinstance(value, Mapping):
        if LEAVES.issuperset(map(type, value.values())):
            return value
        above = (*above, id(value))
        return _if_changed(
            value, {key: _replaced(item, by, (*path, key), above) for key, item in value.items()}
        )
    if isinstance(value, _SEQUENCES):
        if LEAVES.issuperset(map(type, value)):
            return value
        above = (*above, id(value))
        items = [_replaced(item, by, (*path, at), above) for at, item in enumerate(value)]
        return value if all(a is b for a, b in zip(value, items, strict=True)) else items
    if is_file(value):
        return by(value, path)
    if isinstance(value, bytes | bytearray | memoryview):
        raise ConfigurationError(
            f"{_place('input', path)} is bytes: upload them with File(data, content_type=...), "
            "or encode(...) them as a data URI"
        )
    if not is_record(value):
        return value
    before = plain_value(value)
    after = _replaced(before, by, path, (*above, id(value)))
    return value if after is before else after


def _if_changed(before: Mapping[Any, Any], after: dict[Any, Any]) -> Any:
    return before if all(after[key] is before[key] for key in after) else after
