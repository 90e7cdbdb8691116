"""The accepted requests of each input, which are kept even if jobs are deleted or clients are killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import attrs

_DIGEST = 16


@attrs.frozen(kw_only=True)
class Line:
    """An input of one endpoint, and the requests that were accepted for it.

    Attributes:
        endpoint_id: the endpoint.
        input_digest: the first 32 hex digits of the input's SHA-256, as the function `input_digest` computes it.
        request_ids: ids of the requests of all accounts, in order of arrival; fal would bill each of them.
    """

    endpoint_id: str
    input_digest: str
    request_ids: tuple[str, ...]

    @property
    def taken(self) -> int:
        """How many requests were accepted for this input."""
        return len(self.request_ids)


def input_digest(input: Any) -> str:
    """Return the first 32 hex digits of the SHA-256 of the input as ASCII JSON: keys sorted, no spaces.

    Args:
        input: the input, as JSON values.

    Raises:
        TypeError: If the input is not JSON.
    """
    text = json.dumps(input, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * _DIGEST]


class Books:
    """The accepted requests, by endpoint and input, as `emulator.books`.

    They include direct calls and streams, failed and cancelled requests, and requests whose jobs are deleted, but
    not realtime sessions and HTTP over WebSocket. An input takes about 250 bytes of memory. Iterating yields one
    `Line` for each endpoint and input.
    """

    def __init__(self) -> None:
        # By endpoint and digest. Digests are bytes and the ids one str, so that 100,000 entries stay small.
        self._taken: dict[str, dict[bytes, str]] = {}

    def enter(self, endpoint_id: str, input: Any, request_id: str) -> None:
        """Add an accepted request; only the emulator calls this.

        Args:
            endpoint_id: the endpoint.
            input: the input, as JSON values; a request with any other input is not added.
            request_id: id of the request.
        """
        try:
            digest = bytes.fromhex(input_digest(input))
        except (TypeError, ValueError):  # an application may accept input that is not JSON
            return
        lines = self._taken.setdefault(endpoint_id, {})
        before = lines.get(digest)
        lines[digest] = request_id if before is None else f"{before} {request_id}"

    def __iter__(self) -> Iterator[Line]:
        """Yield one line per endpoint and input."""
        for endpoint_id, lines in self._taken.items():
            for digest, ids in lines.items():
                yield Line(
                    endpoint_id=endpoint_id, input_digest=digest.hex(), request_ids=tuple(ids.split(" "))
                )

    def taken(self, endpoint_id: str, input: Any) -> int:
        """Return how many requests were accepted for an input.

        Args:
            endpoint_id: the endpoint.
            input: the input, as JSON values.

        Raises:
            TypeError: If the input is not JSON.
        """
        ids = self._taken.get(endpoint_id, {}).get(bytes.fromhex(input_digest(input)))
        return 0 if ids is None else ids.count(" ") + 1

    def total(self, endpoint_id: str) -> int:
        """Return how many requests of an endpoint were accepted.

        Args:
            endpoint_id: the endpoint.
        """
        return sum(ids.count(" ") + 1 for ids in self._taken.get(endpoint_id, {}).values())

    def repeated(self) -> list[Line]:
        """Return the inputs for which more than one request was accepted."""
        return [line for line in self if line.taken > 1]

    def clear(self) -> None:
        """Delete all entries, so that every count is 0."""
        self._taken.clear()
