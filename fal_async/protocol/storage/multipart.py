"""Multipart uploads: how a large file is split, and the record with which an interrupted upload is resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fal_async.errors import ConfigurationError

MiB = 1024 * 1024
MULTIPART_ABOVE = 100 * MiB
"""Files of more bytes are uploaded in parts; the limit of fal's Python client (protocol 7.2)."""
PART_SIZE = 10 * MiB
MAX_PARTS = 10_000
"""Maximum number of parts of one file in object stores of this kind."""
PARALLEL = 8
"""Number of parts uploaded at a time. fal's Python client uses 10, its JavaScript client 1 (protocol 7.2)."""


@attrs.frozen(kw_only=True)
class PartPlan:
    """The parts of a file. They are numbered from 1, and all but the last have `part_size` bytes."""

    size: int
    part_size: int

    @property
    def count(self) -> int:
        """The number of parts."""
        return -(-self.size // self.part_size)

    def span(self, number: int) -> tuple[int, int]:
        """Return offset and length of a part."""
        offset = (number - 1) * self.part_size
        return offset, min(self.part_size, self.size - offset)


def plan_parts(size: int, part_size: int = PART_SIZE) -> PartPlan:
    """Plan the parts of a file. `part_size` grows in steps of 1 MiB, so that 10,000 parts always suffice."""
    needed = -(-size // MAX_PARTS)
    if needed > part_size:
        part_size = -(-needed // MiB) * MiB
    return PartPlan(size=size, part_size=part_size)


@attrs.frozen(kw_only=True)
class SentPart:
    """A part that fal's storage has received."""

    number: int
    etag: str
    digest: str
    """SHA-256 (hex) of the part's bytes, to check whether the file is still the same."""


@attrs.frozen(kw_only=True)
class MultipartTarget:
    """The URLs of a multipart upload (protocol 7.1 B, C).

    Attributes:
        file_url: the URL of the stored file.
        upload_url: the URL into which `/{n}` and `/complete` are inserted, between path and query.
        presigned: whether the URL itself grants access, so that no Authorization header is sent.
    """

    file_url: str
    upload_url: str = attrs.field(repr=False)
    presigned: bool

    def url(self, piece: int | str) -> str:
        """Return the URL for a part, by its number, or for "complete"."""
        path, mark, query = self.upload_url.partition("?")
        return f"{path}/{piece}{mark}{query}"


@attrs.frozen(kw_only=True)
class UploadRecord:
    """A multipart upload that has begun, and the parts that arrived."""

    target: MultipartTarget
    plan: PartPlan
    content_type: str
    file_name: str
    lifecycle: str | None = None
    parts: dict[int, SentPart] = attrs.field(factory=dict, repr=False)
    """The parts that arrived, by number. This dict is the only thing in the record that changes."""

    def fits(self, size: int, content_type: str, file_name: str, lifecycle: str | None) -> bool:
        """Return whether the record may belong to this file. The content is compared later, by digests."""
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
        """Return JSON lines: the upload, then each part. To add a part, a line is appended."""
        return self.first_line() + "".join(part_line(part) for part in self.parts.values())


def part_line(part: SentPart) -> str:
    return _line({"part": part.number, "etag": part.etag, "sha256": part.digest})


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":")) + "\n"


def parse_record(text: str | bytes) -> UploadRecord | None:
    """Parse a record; return None for an empty text. Lines that are incomplete, as after a crash, are ignored.

    Raises ConfigurationError if it is not such a record.
    """
    if not text.strip():
        return None
    try:
        first, *lines = text.splitlines()
        record = _record(json.loads(first))
        parts = [part for line in lines if (part := _part(line, record.plan))]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigurationError(
            "resume: this is not a record of an upload; remove it to start the upload from the beginning"
        ) from error
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
    """The progress of a large upload, for resuming it. `upload(file, resume=state)` updates it after each part.

    Store the text of `to_json()` where you like, but as a secret, because it may contain a presigned URL. To
    resume, pass `UploadState.from_json(text)`. The state is empty before the first part and again after the last
    one.

    Attributes:
        record: the parts that arrived. None (default): no upload is in progress.
        on_change: a function that is called with this state after each part that arrived. None (default): no
            function.
    """

    record: UploadRecord | None = None
    on_change: Callable[[UploadState], None] | None = attrs.field(default=None, repr=False)

    def to_json(self) -> str:
        """Return the state as text for `from_json`; "" if it is empty. The text may contain a secret URL."""
        return "" if self.record is None else self.record.to_json()

    @classmethod
    def from_json(cls, text: str) -> UploadState:
        """Return the state that `to_json` wrote.

        Args:
            text: the text that `to_json` returned. "" means an empty state.

        Returns:
            The state, without `on_change`.

        Raises:
            ConfigurationError: `text` is not such a state.
        """
        return cls(parse_record(text))
