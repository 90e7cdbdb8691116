"""What the account is billed for, by input: outlives the jobs themselves, and every client that is killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import attrs

_DIGEST = 16


@attrs.frozen(kw_only=True)
class Line:
    """An input of one endpoint, and the requests that were taken for it.

    Attributes:
        input_digest: see `input_digest`.
        request_ids: in order of arrival, of all accounts. More than one: it was paid for as often.
    """

    endpoint_id: str
    input_digest: str
    request_ids: tuple[str, ...]

    @property
    def taken(self) -> int:
        return len(self.request_ids)


def input_digest(input: Any) -> str:
    """The first 16 bytes, in hex, of SHA-256 of the input as JSON with sorted keys, without spaces, in ASCII."""
    text = json.dumps(input, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * _DIGEST]


class Books:
    """Each request that was taken, whether by the queue or directly, whatever became of it, and whether or not its
    job is still kept. Not realtime sessions and HTTP over WebSocket. About 250 bytes for each input."""

    def __init__(self) -> None:
        # Endpoint, then digest: as bytes, since a hundred thousand of them are kept.
        self._taken: dict[str, dict[bytes, str]] = {}

    def enter(self, endpoint_id: str, input: Any, request_id: str) -> None:
        try:
            digest = bytes.fromhex(input_digest(input))
        except (TypeError, ValueError):  # of an application: whatever it was sent
            return
        lines = self._taken.setdefault(endpoint_id, {})
        before = lines.get(digest)
        lines[digest] = request_id if before is None else f"{before} {request_id}"

    def __iter__(self) -> Iterator[Line]:
        for endpoint_id, lines in self._taken.items():
            for digest, ids in lines.items():
                yield Line(
                    endpoint_id=endpoint_id, input_digest=digest.hex(), request_ids=tuple(ids.split(" "))
                )

    def taken(self, endpoint_id: str, input: Any) -> int:
        """How many requests were taken for this input."""
        ids = self._taken.get(endpoint_id, {}).get(bytes.fromhex(input_digest(input)))
        return 0 if ids is None else ids.count(" ") + 1

    def total(self, endpoint_id: str) -> int:
        """How many requests of this endpoint were taken."""
        return sum(ids.count(" ") + 1 for ids in self._taken.get(endpoint_id, {}).values())

    def repeated(self) -> list[Line]:
        """The inputs for which more than one request was taken."""
        return [line for line in self if line.taken > 1]

    def clear(self) -> None:
        self._taken.clear()
