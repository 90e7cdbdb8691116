"""Which storage operation a path stands for (protocol 7.1, 7.4): pure."""

from __future__ import annotations

import re

import attrs

_REST = {
    "storage/auth/token": "cdn_token",
    "storage/upload/initiate": "initiate",
    "storage/upload/initiate-multipart": "initiate",
}
_GCS = re.compile(r"storage/upload/gcs/(?P<id>\w+)/(?:(?P<number>\d+)|complete)$")
"""Of route B's other variant (7.1): a URL for a part is asked for, with the key; and so is the end."""
_MANAGED = re.compile(r"(?:v1/)?storage/(files/acl|files/sign|settings)$")
_FILE = r"(?P<file>files/b/[0-9a-f]{8}/[^/]+)"
_CDN = {
    "upload": [("POST", re.compile(r"files/upload$")), ("PUT", re.compile(r"presigned/(?P<id>\w+)/[^/]+$"))],
    "multipart": [("POST", re.compile(r"files/upload/multipart$"))],
    "part": [
        ("PUT", re.compile(_FILE + r"/multipart/(?P<id>\w+)/(?P<number>\d+)$")),
        ("PUT", re.compile(r"presigned/(?P<id>\w+)/[^/]+/(?P<number>\d+)$")),
    ],
    "complete": [
        ("POST", re.compile(_FILE + r"/multipart/(?P<id>\w+)/complete$")),
        ("POST", re.compile(r"presigned/(?P<id>\w+)/[^/]+/complete$")),
    ],
    "cdn_sign": [("POST", re.compile(_FILE + r"/sign$"))],
}


@attrs.frozen(kw_only=True)
class StoragePath:
    kind: str
    file: str | None = None
    """The path of the file that it is about, where it is named."""
    upload_id: str | None = None
    number: int = 0


def parse_storage(method: str, host: str, rest: str) -> StoragePath | None:
    """`host` is the emulator's name of it: rest, file or platform. None: no storage operation."""
    if host == "file":
        return _cdn_path(method, rest)
    if host == "rest" and rest in _REST:
        return StoragePath(kind=_REST[rest])
    if host == "rest" and method == "POST" and (begun := _GCS.match(rest)):
        kind = "gcs_part" if begun["number"] else "gcs_complete"
        return StoragePath(kind=kind, upload_id=begun["id"], number=int(begun["number"] or 0))
    if host in ("rest", "platform") and (managed := _MANAGED.match(rest)):
        return StoragePath(kind="storage", file=managed[1])
    return None


def _cdn_path(method: str, rest: str) -> StoragePath | None:
    for kind, forms in _CDN.items():
        for wanted, pattern in forms:
            found = pattern.match(rest)
            if found and method == wanted:
                named = found.groupdict()
                number = int(named.get("number") or 0)
                return StoragePath(
                    kind=kind, file=named.get("file"), upload_id=named.get("id"), number=number
                )
    return None
