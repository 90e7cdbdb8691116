"""The storage operation of a path (protocol 7.1, 7.4): pure."""

from __future__ import annotations

import re

import attrs

_REST = {
    "storage/auth/token": "cdn_token",
    "storage/upload/initiate": "initiate",
    "storage/upload/initiate-multipart": "initiate",
}
_GCS = re.compile(r"storage/upload/gcs/(?P<id>\w+)/(?:(?P<number>\d+)|complete)$")
"""Paths of route B's gcs variant (7.1), where the client requests the URL of each part with its API key."""
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
    """The path of the file, if the request names it."""
    upload_id: str | None = None
    number: int = 0


def parse_storage(method: str, host: str, rest: str) -> StoragePath | None:
    """Return the storage operation of a path, or None if it has none. `host`: "rest", "file" or "platform"."""
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
