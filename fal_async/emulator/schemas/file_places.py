"""Which places of an output have files, and of which kind: by schema and name, since fal does not mark them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

_FILE_MEMBERS = frozenset({"content_type", "file_name", "file_size"})
_SIZE = frozenset({"width", "height"})
_KINDS: Mapping[str, tuple[str, ...]] = {
    "video": ("video", "mp4", "webm"),
    "audio": ("audio", "speech", "sound", "music", "voice", "wav", "mp3"),
    "image": ("image", "picture", "photo", "mask", "thumbnail", "frame", "png", "jpeg", "jpg", "webp"),
}
"""Words in a title, a content type or a name that tell the kind of a file."""


@attrs.frozen(kw_only=True)
class FileWish:
    """A place for a file.

    Attributes:
        kind: "image", "video", "audio" or "file".
        members: the members of the file object that fal's have; empty if the place takes only the URL.
        about: the other members, and those that the file itself does not tell.
    """

    kind: str
    members: frozenset[str] = frozenset()
    about: Mapping[str, Any] = attrs.field(factory=dict)


def wished_file(schema: Mapping[str, Any], name: str) -> FileWish | None:
    """Return the wish for a place with this merged schema and this name; None if it is not for a file."""
    members = schema.get("properties", {})
    titles = f"{schema.get('title', '')} {name}".lower()
    if "url" in members:
        kind = _kind(titles, members)
        if members.keys() & (_FILE_MEMBERS | _SIZE) or kind != "file" or "file" in titles:
            return FileWish(kind=kind, members=frozenset(members))
    elif (
        schema.get("type") == "string" and name.rpartition("_")[2] in ("url", "urls") and "enum" not in schema
    ):
        return FileWish(kind=_kind(name.lower(), {}))
    return None


def _kind(titles: str, members: Mapping[str, Any]) -> str:
    told = members.get("content_type")
    told = told if isinstance(told, Mapping) else {}
    media = " ".join(str(told.get(word, "")) for word in ("default", "example", "examples", "const"))
    for text in (titles, media.lower()):
        for kind, words in _KINDS.items():
            if any(word in text for word in words):
                return kind
    return "image" if members.keys() >= _SIZE else "file"
