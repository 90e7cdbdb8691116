"""Files in the output of a model: which values are files, and their paths in the output (protocol 13).

Citations such as (protocol 13) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import attrs

from fal_async.errors import ResponseDecodeError, one_line
from fal_async.records import field_names, is_named


@attrs.frozen(kw_only=True)
class OutputFile:
    """A file in the output of a model (protocol 13). An attribute that the output does not have is None.

    Attributes:
        url: the URL of the file; may be a `data:` URI, which contains the file itself.
        content_type: the content type, such as `"image/png"`.
        file_name: the name that the model gave the file.
        file_size: the size in bytes.
        width: the width of an image in pixels.
        height: the height of an image in pixels.
        path: the place in the output, such as `$.images[0]`.
    """

    url: str
    content_type: str | None = None
    file_name: str | None = None
    file_size: int | None = None
    width: int | None = None
    height: int | None = None
    path: str = "$"

    def __repr__(self) -> str:
        # Without the query of a signed URL, which is secret, and the body of a data URI, which may be large.
        url = self.url.partition("," if self.url.startswith("data:") else "?")[0]
        return one_line(f"OutputFile({self.path}: {url}, {self.content_type}, {self.file_size} bytes)")


FileNames = str | Callable[[OutputFile, int], str]
"""Names for downloaded files: a template, or a function of the file and its position in the output.

A template may have `{n}` (the position, from 0), `{name}` (the server's name without its suffix) and `{ext}` (the
suffix with its dot).
"""
_FILE_FIELDS = {"content_type": str, "file_name": str, "file_size": int, "width": int, "height": int}
_ANY_URL = r"(?i)(?:https?://|data:)"  # compiled on first use, because few processes need these patterns
_WHOLE_URL = r"(?ai)https?://[^\s/?#][^\s]{0,8000}|data:[\w/+.-]*[;,]\S*"
_OF_MEDIA = (
    r"(?i)https?://[^?#]*\.(?:png|jpe?g|webp|gif|bmp|tiff?|avif|heic|svg|exr|mp4|m4v|mov|webm|mkv|avi|mp3|wav|ogg"
    r"|opus|flac|m4a|aac|glb|gltf|obj|stl|ply|fbx|usdz|zip|safetensors)(?:[?#].*)?|data:.*"
    r"|https://(?:[\w-]+\.)*fal\.media/.+"  # fal's CDN has only files
)
_WORD = r"[A-Z]*[a-z]+|[A-Z]+"
_MEDIA = frozenset(
    {
        "image", "picture", "photo", "frame", "mask", "thumbnail", "preview", "gif", "video", "clip",
        "audio", "music", "speech", "mesh", "glb", "file", "media"
    }
)  # fmt: skip
"""A URL is a file if the last word of its field's name is one of these, in the singular or plural."""
_SERVICES = frozenset(
    {
        "status", "response", "cancel", "webhook", "callback", "queue", "request", "stream", "websocket",
        "ws", "api", "base", "endpoint", "upload", "redirect", "login", "billing", "dashboard", "doc",
        "docs", "documentation", "help", "support", "page", "home", "homepage", "site", "website", "web",
        "profile", "license", "terms", "privacy", "playground", "share", "log", "logs"
    }
)  # fmt: skip
"""A URL is not a file if its field's name ends in "url" and has one of these words."""
_WORDS_OF_PEOPLE = frozenset(
    {
        "prompt", "text", "caption", "description", "title", "message", "content", "query", "question",
        "answer", "instruction", "instructions", "transcript", "transcription", "comment", "note",
        "reasoning", "summary", "lyrics", "error", "detail", "reason", "input"
    }
)  # fmt: skip


def files_in(data: Any) -> list[OutputFile]:
    """Return every file in an output, in its order there. The output is JSON, or an `output_type` built from it.

    Objects with a `url` are files, and so are strings that are URLs of files, as their fields' names or their
    suffixes show. A string that repeats the URL of an object is not returned.

    Raises:
        ResponseDecodeError: the output is nested too deeply.
    """
    try:
        found = list(_files_in(data, "$", "url", ()))
    except RecursionError:
        raise ResponseDecodeError("the output is nested too deeply for its files to be found") from None
    of_objects = {file.url for file, is_object in found if is_object}
    return [file for file, is_object in found if is_object or file.url not in of_objects]


def whole_file(data: bytes, content_type: str) -> OutputFile:
    """Return the only file of an output that consists of bytes, such as those of an image."""
    said = re.match(r"(?a)[\w.+-]+/[\w.+-]+", content_type)
    kind = said[0] if said else "application/octet-stream"
    return OutputFile(url=f"data:{kind};base64,{base64.b64encode(data).decode()}", content_type=kind)


def _files_in(value: Any, path: str, name: str, above: tuple[int, ...]) -> Iterator[tuple[OutputFile, bool]]:
    """Yield each file, and whether it is an object. `name`: the name of the nearest field that contains `value`."""
    value = _text(value)
    if isinstance(value, str):
        if _is_file(name, value):
            yield OutputFile(url=value, path=path), False
        return
    if value is None or isinstance(value, bytes | bytearray | int | float) or id(value) in above:
        return
    above = (*above, id(value))
    if isinstance(value, Sequence | Set):
        for at, item in enumerate(value if isinstance(value, Sequence) else sorted(value, key=repr)):
            yield from _files_in(item, f"{path}[{at}]", name, above)
        return
    fields = _fields_of(value)
    if fields.keys() == {"root"} and hasattr(value, "model_dump"):  # a RootModel, which is its root in JSON
        yield from _files_in(fields["root"], path, name, above)
        return
    url = _text(fields.get("url"))
    is_object = isinstance(url, str) and re.match(_ANY_URL, url) is not None
    if is_object:
        yield _output_file(url, fields, path), True
    for key, item in fields.items():
        if not (is_object and key == "url"):
            yield from _files_in(item, f"{path}.{key}", str(key), above)


def _is_file(name: str, text: str) -> bool:
    """Return whether a string in the field `name` is the URL of a file."""
    if not re.match(_ANY_URL, text) or not re.fullmatch(_WHOLE_URL, text):
        return False
    words = [word.lower() for word in re.findall(_WORD, name)]
    last = words[-1].removesuffix("s") if words else ""
    if last in ("url", "uri"):
        return _SERVICES.isdisjoint(words)
    return last in _MEDIA or (
        _WORDS_OF_PEOPLE.isdisjoint(words) and re.fullmatch(_OF_MEDIA, text) is not None
    )


def _fields_of(value: Any) -> Mapping[Any, Any]:
    """Return the fields of an object or a record by their names in JSON; an empty mapping for other values."""
    if isinstance(value, Mapping):
        return value
    return {name: getattr(value, field, None) for name, field in field_names(value).items()}


def _text(value: Any) -> Any:
    """Return a URL object of pydantic as a str, and other values unchanged."""
    is_url = is_named(value, "pydantic", "_BaseUrl", "AnyUrl") or is_named(value, "pydantic_core", "Url")
    return str(value) if is_url else value


def _output_file(url: Any, fields: Mapping[Any, Any], path: str) -> OutputFile:
    """Return the file of an object. Fields that are null or of an unexpected type are ignored (protocol 13)."""
    known = {name: fields.get(name) for name in _FILE_FIELDS}
    fitting: Any = {name: value for name, value in known.items() if isinstance(value, _FILE_FIELDS[name])}
    return OutputFile(url=url, path=path, **fitting)
