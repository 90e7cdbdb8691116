"""A large file in parts: how it is cut, and the record with which an interrupted upload is taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fal_async.errors import ConfigurationError

MiB = 1024 * 1024
MULTIPART_ABOVE = 100 * MiB
"""Files larger than this go in parts (protocol 7.2, the Python client's number)."""
PART_SIZE = 10 * MiB
MAX_PARTS = 10_000
"""Object stores of this kind take no more parts of one file (field-notes A6.2)."""
PARALLEL = 8
"""Parts under way at a time. fal's Python client has 10, its JavaScript client 1 (protocol 7.2)."""


@attrs.frozen(kw_only=True)
class PartPlan:
    """Parts are numbered from 1; all but the last have `part_size` bytes."""

    size: int
    part_size: int

    @property
    def count(self) -> int:
        return -(-self.size // self.part_size)

    def span(self, number: int) -> tuple[int, int]:
        """Offset and length of a part."""
        offset = (number - 1) * self.part_size
        return offset, min(self.part_size, self.size - offset)


def plan_parts(size: int, part_size: int = PART_SIZE) -> PartPlan:
    """`part_size` grows with the file, in steps of 1 MiB, so that no file needs more than 10,000 parts."""
    needed = -(-size // MAX_PARTS)
    if needed > part_size:
        part_size = -(-needed // MiB) * MiB
    return PartPlan(size=size, part_size=part_size)


@attrs.frozen(kw_only=True)
class SentPart:
    number: int
    etag: str
    digest: str
    """SHA-256 (hex) of what was sent: tells whether the file is still the same."""


@attrs.frozen(kw_only=True)
class MultipartTarget:
    """Where the parts go (protocol 7.1 B, C).

    `upload_url`: the URL into which `/{n}` and `/complete` are inserted, between path and query.
    `presigned`: it carries its own permission, and takes no Authorization header.
    """

    file_url: str
    upload_url: str = attrs.field(repr=False)
    presigned: bool

    def url(self, piece: int | str) -> str:
        path, mark, query = self.upload_url.partition("?")
        return f"{path}/{piece}{mark}{query}"


@attrs.frozen(kw_only=True)
class UploadRecord:
    """An upload in parts that was begun, and the parts that arrived."""

    target: MultipartTarget
    plan: PartPlan
    content_type: str
    file_name: str
    lifecycle: str | None = None
    parts: dict[int, SentPart] = attrs.field(factory=dict, repr=False)
    """By number. The one thing in here that changes: it grows as parts arrive."""

    def fits(self, size: int, content_type: str, file_name: str, lifecycle: str | None) -> bool:
        """Whether it is about such a file; its content is compared by digests."""
        wanted = (size, content_type, file_name, lifecycle)
        return wanted == (self.plan.size, self.content_type, self.file_name, self.lifecycle)

    def first_line(self) -> str:
        return _line(
            {
                "fal_upload": 1,
                "file_url": self.target.file_url,
                "upload_url": self.target.upload_url,
                "presigned": self.target.presigned,
                "size": self.plan.size,
                "part_size": self.plan.part_size,
                "content_type": self.content_type,
                "file_name": self.file_name,
                "lifecycle": self.lifecycle,
            }
        )

    def to_json(self) -> str:
        """JSON lines: the upload, then each part. Appending a line is all it takes to note a part."""
        return self.first_line() + "".join(part_line(part) for part in self.parts.values())


def part_line(part: SentPart) -> str:
    return _line({"part": part.number, "etag": part.etag, "sha256": part.digest})


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":")) + "\n"


def parse_record(text: str | bytes) -> UploadRecord | None:
    """None for an empty text. A last line that breaks off, as after a crash, is passed over.

    ConfigurationError where it is no such record.
    """
    if not text.strip():
        return None
    try:
        first, *lines = text.splitlines()
        record = _record(json.loads(first))
        parts = [part for line in lines if (part := _part(line, record.plan))]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigurationError("resume: this is no record of an upload; remove it to start anew") from error
    return attrs.evolve(record, parts={part.number: part for part in parts})


def _record(document: Mapping[str, Any]) -> UploadRecord:
    if document["fal_upload"] != 1:
        raise ValueError("another version")
    plan = PartPlan(size=int(document["size"]), part_size=int(document["part_size"]))
    if plan.size < 1 or plan.part_size < 1:
        raise ValueError("no such file")
    return UploadRecord(
        target=MultipartTarget(
            file_url=str(document["file_url"]),
            upload_url=str(document["upload_url"]),
            presigned=bool(document["presigned"]),
        ),
        plan=plan,
        content_type=str(document["content_type"]),
        file_name=str(document["file_name"]),
        lifecycle=document.get("lifecycle"),
    )


def _part(line: str | bytes, plan: PartPlan) -> SentPart | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    number = int(document["part"])
    if not 1 <= number <= plan.count:
        raise ValueError(f"there is no part {number}")
    return SentPart(number=number, etag=str(document["etag"]), digest=str(document["sha256"]))


@attrs.define(eq=False)
class UploadState:
    """Where a large upload stands, as a value: `upload(file, resume=state)` keeps it up to date.

    Store `to_json()` wherever you like (it is secret: it may hold a presigned URL), and go on with
    `UploadState.from_json(text)`. It is empty before the first part and again after the last.
    `on_change` is called after each part that arrived.
    """

    record: UploadRecord | None = None
    on_change: Callable[[UploadState], None] | None = attrs.field(default=None, repr=False)

    def to_json(self) -> str:
        return "" if self.record is None else self.record.to_json()

    @classmethod
    def from_json(cls, text: str) -> UploadState:
        """ConfigurationError where it is no such text."""
        return cls(parse_record(text))
