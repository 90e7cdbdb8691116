"""The storage service's state: CDN tokens, uploads, signed URLs, and defaults of accounts."""

from __future__ import annotations

import hmac
import secrets
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from fal_async.emulator.storage.lifecycle import Lifecycle
from fal_async.emulator.timing.clock import Clock

MAX_PARTS = 10_000
MAX_TOKEN_LIFETIME = 30 * 86_400
"""Seconds: CDN tokens are valid for up to 30 days (protocol 7.1)."""
MAX_UPLOADS = 100_000
"""How many uploads are kept; above that, the oldest are deleted."""
MAX_SIGNED = 7 * 86_400
"""Seconds: signed URLs are valid for up to 7 days (protocol 7.4)."""


class BadUpload(Exception):
    """An upload call that is refused, with the status and detail of the answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status: int = status
        self.detail: str = detail


@attrs.frozen(kw_only=True)
class Part:
    """One part of a multipart upload.

    Attributes:
        etag: its ETag, with quotes.
        size: number of its bytes.
    """

    etag: str
    size: int


@attrs.define(eq=False, kw_only=True)
class Upload:
    """An upload, as `emulator.uploads` lists it. Tests may read it; only the emulator changes it.

    Attributes:
        upload_id: the upload id.
        path: path of the file on the file host.
        content_type: media type of the file.
        owner: nickname of the account that uploads the file.
        lifecycle: when the file expires, and who may read it.
        multipart: whether the file is uploaded in parts.
        signature: the signature in the presigned URL; None for an upload with a CDN token (protocol 7.1).
        parts: the parts that have arrived, by number from 1.
        completed: whether the file is complete.
    """

    upload_id: str
    path: str
    content_type: str
    owner: str = ""
    lifecycle: Lifecycle = attrs.field(factory=Lifecycle)
    multipart: bool = False
    signature: str | None = attrs.field(default=None, repr=False)
    parts: dict[int, Part] = attrs.field(factory=dict)
    completed: bool = False

    @property
    def part_name(self) -> str:
        """Directory of the parts, below that of the files."""
        return f"unfinished/{self.upload_id}"


class UploadStore:
    """CDN tokens, uploads and signed URLs.

    `token_lifetime` is the number of seconds for which a token is valid, `min_part_size` the number of bytes that
    each part except the last must have; fal documents no limit, S3's is 5 MiB.
    """

    def __init__(self, clock: Clock, *, token_lifetime: float, min_part_size: int) -> None:
        self._clock = clock
        self.token_lifetime: float = token_lifetime
        self.min_part_size: int = min_part_size
        self.defaults: defaultdict[str, Lifecycle] = defaultdict(Lifecycle)
        """The default lifecycle of each account, by nickname."""
        self.uploads: dict[str, Upload] = {}
        self.granted: dict[str, tuple[float, str]] = {}
        """The end, in seconds since the epoch, and the owner of each CDN token."""
        self.signed: dict[str, tuple[str, float]] = {}
        """The path of the file, and the end, of each signed URL, by its `identity`."""

    # Tokens.

    def grant(self, seconds: float | None, owner: str) -> dict[str, Any]:
        """Return a new CDN token, valid for `seconds`, but not longer than `token_lifetime`; None: exactly that."""
        self._drop_expired()
        lifetime = min(self.token_lifetime if seconds is None else seconds, self.token_lifetime)
        token = secrets.token_urlsafe(24)
        until = self._clock.now() + lifetime
        self.granted[token] = until, owner
        expires_at = datetime.fromtimestamp(self._clock.on_the_machine(until), UTC).isoformat()
        return {"token": token, "token_type": "Bearer", "expires_at": expires_at}

    def tokens(self) -> list[tuple[str, float]]:
        """Return the owner's nickname, and the end in seconds since the epoch, of each valid token."""
        now = self._clock.now()
        return [(owner, until) for until, owner in self.granted.values() if until > now]

    def revoke_tokens(self) -> None:
        self.granted.clear()

    def forget_owner(self, owner: str) -> None:
        """Refuse the tokens of the account with this nickname, and delete its unfinished uploads and defaults."""
        self.granted = {name: held for name, held in self.granted.items() if held[1] != owner}
        self.uploads = {
            name: upload for name, upload in self.uploads.items() if upload.completed or upload.owner != owner
        }
        self.defaults.pop(owner, None)

    def holder(self, authorization: str | None) -> str | None:
        """Return the nickname of the token's account, or None if there is no valid token."""
        scheme, _, token = (authorization or "").partition(" ")
        until, owner = self.granted.get(token, (0.0, ""))
        return owner if scheme.lower() == "bearer" and until > self._clock.now() else None

    # Signed reading.

    def sign(self, path: str, seconds: float) -> str:
        """Return the value of the `identity` query for a signed URL (protocol 7.4)."""
        self._drop_expired()
        identity = secrets.token_urlsafe(16)
        self.signed[identity] = (path, self._clock.now() + seconds)
        return identity

    def is_signed(self, path: str, query: Mapping[str, str]) -> bool:
        signed, until = self.signed.get(query.get("identity", ""), ("", 0.0))
        return signed == path and until > self._clock.now()

    def _drop_expired(self) -> None:
        now = self._clock.now()
        if len(self.granted) + len(self.signed) > MAX_UPLOADS:
            self.granted = {name: token for name, token in self.granted.items() if token[0] > now}
            self.signed = {name: signed for name, signed in self.signed.items() if signed[1] > now}

    # Uploads.

    def open(self, path: str, content_type: str, lifecycle: Lifecycle, *, owner: str, **form: Any) -> Upload:
        upload = Upload(
            upload_id=secrets.token_hex(12),
            path=path,
            content_type=content_type,
            lifecycle=lifecycle,
            owner=owner,
            **form,
        )
        if len(self.uploads) >= MAX_UPLOADS:
            del self.uploads[next(iter(self.uploads))]
        self.uploads[upload.upload_id] = upload
        return upload

    def forget_unfinished(self) -> None:
        self.uploads = {name: upload for name, upload in self.uploads.items() if upload.completed}

    def new_signature(self) -> str:
        return secrets.token_urlsafe(16)

    def find(self, upload_id: str | None, *, multipart: bool) -> Upload:
        upload = self.uploads.get(upload_id or "")
        if upload is None or upload.multipart != multipart or (upload.completed and multipart):
            raise BadUpload(404, "The specified upload does not exist; it may have been completed")
        return upload

    def check_signature(self, upload: Upload, given: str | None) -> None:
        if not hmac.compare_digest(upload.signature or "", given or ""):
            raise BadUpload(403, "The signature of this URL does not match")

    def check_list(self, upload: Upload, listed: list[tuple[int, str]]) -> None:
        """Check a list of parts as S3 does, except for the order.

        fal's own Python client lists parts in the order in which they finished (protocol 7.2), and that works.
        """
        numbers = sorted(number for number, _ in listed)
        if not numbers or numbers != list(range(1, len(numbers) + 1)):
            raise BadUpload(400, f"InvalidPart: expected the parts 1 to {len(upload.parts)}")
        for number, etag in listed:
            part = upload.parts.get(number)
            if part is None or part.etag.strip('"') != etag.strip('"'):
                raise BadUpload(400, f"InvalidPart: part {number} is missing or has another ETag")
        self._check_sizes([upload.parts[number].size for number in numbers])

    def _check_sizes(self, sizes: list[int]) -> None:
        *full, last = sizes
        if len(set(full)) > 1 or (full and last > full[0]):
            raise BadUpload(400, "InvalidPart: all parts but the last must have the same size")
        if full and full[0] < self.min_part_size:
            raise BadUpload(400, f"EntityTooSmall: parts must have {self.min_part_size} bytes or more")
