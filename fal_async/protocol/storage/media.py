"""Content types by name and by content, safe file names, and data URIs."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from fal_async.errors import ConfigurationError

OCTETS = "application/octet-stream"
"""The default content type of fal's own clients (protocol 7.5)."""

# The table of the standard library is not used, because it depends on the machine, and lacks webp before Python
# 3.13.
_BY_SUFFIX: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heic": "image/heic",
    "svg": "image/svg+xml",
    "exr": "image/x-exr",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "obj": "model/obj",
    "stl": "model/stl",
    "txt": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "gz": "application/gzip",
    "tar": "application/x-tar",
    "yaml": "application/yaml",
}
_SUFFIXES: Mapping[str, str] = {kind: suffix for suffix, kind in reversed(list(_BY_SUFFIX.items()))}
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"v/1\x01", "image/x-exr"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"glTF", "model/gltf-binary"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
)
_UNSURE = ("image/bmp", "audio/mpeg")
"""Types that are recognised by only two or three bytes, with which a text may begin as well."""
_FAMILIES = (
    ("video/mp4", "video/quicktime", "audio/mp4"),
    ("video/webm", "video/x-matroska"),
    ("image/heic", "image/avif"),
)
"""Types with the same container format, which the name distinguishes better than the first bytes."""
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "image/heic"),
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    b"qt  ": "video/quicktime",
}
HEAD = 32
"""The number of bytes from the beginning of a file that `guess_content_type` needs."""
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;[\x20-\x7e]*)?", re.ASCII)


def guess_content_type(name: str | None, head: bytes) -> str:
    """Return the content type of the name's suffix, unless the first bytes clearly show another type.

    Without a known suffix the first bytes decide. If they are unknown as well, it is `application/octet-stream`.
    """
    by_name, by_content = content_type_by_name(name or ""), content_type_by_content(head)
    if by_name is None or by_content is None:
        return by_name or by_content or OCTETS
    return by_name if by_content in _UNSURE or _family(by_name) == _family(by_content) else by_content


def _family(content_type: str) -> str:
    return next((family[0] for family in _FAMILIES if content_type in family), content_type)


def content_type_by_name(name: str) -> str | None:
    """Return the content type of a name's suffix; None if it is unknown."""
    return _BY_SUFFIX.get(name.rpartition(".")[2].lower()) if "." in name else None


def content_type_by_content(head: bytes) -> str | None:
    """Return the content type that a file's first `HEAD` bytes show; None if they show none."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "audio/mp4" if head[8:11] == b"M4A" else "video/mp4")
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), None)


def suffix_for(content_type: str) -> str:
    """Return `.png` for `image/png`; "" for an unknown type."""
    suffix = _SUFFIXES.get(content_type.partition(";")[0].strip().lower())
    return f".{suffix}" if suffix else ""


def check_content_type(value: str | None) -> str | None:
    """Return a content type. Raise ConfigurationError if it is neither a media type nor None."""
    if value is not None and not (isinstance(value, str) and _MEDIA_TYPE.fullmatch(value)):
        raise ConfigurationError(f"content_type={value!r}: expected a media type such as 'image/png'")
    return value


# Names.

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_LOCAL = re.compile(r'[<>:"|?*]')
_AT_THE_ENDS = re.compile(r"^[\s.]+|[\s.]+$")
_NOT_IN_HEADER = re.compile(r"[^A-Za-z0-9._ ()+=@-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_ENDING = re.compile(r"(?ai)[^.]\.(?=\w*[a-z])[a-z0-9]{1,16}$")
MAX_NAME = 200
"""Maximum length of a name in bytes of UTF-8. File systems allow 255, and a number may be added to the name."""


def plain_name(name: str) -> str:
    """Return the last part of a path of any system, without control and direction characters; may be ""."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return _shortened(_CONTROL.sub("", last).strip())


def header_name(name: str) -> str:
    """Return a name in ASCII for `X-Fal-File-Name`, which "holds the plain name" (protocol 7.5).

    Accents are removed, and characters without an ASCII form become `_`. The name is not percent-encoded, because a
    server may put it unchanged into the file's URL, where `%` means something else.
    """
    folded = unicodedata.normalize("NFKD", plain_name(name))
    ascii_only = "".join(c for c in folded if not unicodedata.combining(c))
    stem, dot, suffix = _NOT_IN_HEADER.sub("_", ascii_only).rpartition(".")
    if not stem:
        stem, suffix = suffix, ""
    stem, suffix = stem.strip(" ._") or "file", suffix.strip(" ._")
    return f"{stem}.{suffix}" if dot and suffix else stem


def local_name(name: str) -> str:
    """Return a name from a server as a file name that is safe on any system, and never a path."""
    safe = _AT_THE_ENDS.sub("", _NOT_LOCAL.sub("_", plain_name(name)))
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    return safe or "file"


def has_ending(name: str) -> bool:
    """Return whether a name has a suffix such as `.png` or `.7z`. A number alone counts as a version."""
    return _ENDING.search(name) is not None


def numbered(name: str, number: int) -> str:
    """Return `cat.png`, `cat-2.png`, `cat-3.png`, ..."""
    if number < 2:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{number}.{suffix}" if dot and stem else f"{name}-{number}"


def _shortened(name: str) -> str:
    """Cut a name to `MAX_NAME` bytes, and keep its suffix."""
    if len(name.encode("utf-8", "replace")) <= MAX_NAME:
        return name
    stem, dot, suffix = name.rpartition(".")
    ending = f"{dot}{suffix}" if dot and len(suffix) <= 16 else ""
    kept = name if not ending else stem
    room = MAX_NAME - len(ending.encode("utf-8", "replace"))
    return kept.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + ending


# Data URIs (RFC 2397; protocol 7.5).


def data_uri(data: bytes, content_type: str) -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def parse_data_uri(uri: str) -> tuple[bytes, str]:
    """Return content and content type of a data URI. Raise ValueError if it is not one."""
    head, comma, body = uri.partition(",")
    if not head.lower().startswith("data:") or not comma:
        raise ValueError("not a data URI")
    kind = head[5:]
    encoded = kind.lower().endswith(";base64")
    kind = kind[: -len(";base64")] if encoded else kind
    raw = unquote_to_bytes(body)
    return (_base64(raw) if encoded else raw), kind or "text/plain;charset=US-ASCII"


def _base64(text: bytes) -> bytes:
    """Decode base64. The URL-safe alphabet and missing padding are accepted, other characters are not."""
    packed = b"".join(text.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not a base64 data URI: {error}") from error
