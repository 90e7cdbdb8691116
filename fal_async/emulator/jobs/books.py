"""The accepted requests of each input, which are kept even if jobs are deleted or clients are killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import attrs

_DIGEST = 16
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""One encoder for all inputs: `json.dumps` with these arguments would make one for each input."""


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
    return _digest(input).hex()


def _digest(input: Any) -> bytes:
    return hashlib.sha256(_encode(input).encode()).digest()[:_DIGEST]


class Books:
    """The accepted requests, by endpoint and input, as `emulator.books`.

    They include direct calls and streams, failed and cancelled requests, and requests whose jobs are deleted, but
    not realtime sessions and HTTP over WebSocket. An input takes about 250 bytes of memory. Iterating yields one
    `Line` for each endpoint and input.
    """

    def __init__(self) -> None:
        # By endpoint and digest. Most inputs occur once: they have no list, so that 100,000 entries stay small.
        self._taken: dict[str, dict[bytes, str | list[str]]] = {}

    def enter(self, endpoint_id: str, input: Any, request_id: str) -> None:
        """Add an accepted request; only the emulator calls this.

        Args:
            endpoint_id: the endpoint.
            input: the input, as JSON values; a request with any other input is not added.
            request_id: id of the request.
        """
        try:
            digest = _digest(input)
        except (TypeError, ValueError):  # an application may accept input that is not JSON
            return
        lines = self._taken.setdefault(endpoint_id, {})
        before = lines.get(digest)
        if before is None:
            lines[digest] = request_id
        elif isinstance(before, str):
            lines[digest] = [before, request_id]
        else:
            before.append(request_id)

    def restore(self, line: Line) -> None:
        """Add a line of a saved state; only the emulator calls this.

        Args:
            line: the line.
        """
        ids = line.request_ids
        self._taken.setdefault(line.endpoint_id, {})[bytes.fromhex(line.input_digest)] = (
            ids[0] if len(ids) == 1 else list(ids)
        )

    def __iter__(self) -> Iterator[Line]:
        """Yield one line per endpoint and input."""
        # Copies, since a test may iterate in another thread than that of the emulator.
        for endpoint_id, lines in list(self._taken.items()):
            for digest, taken in list(lines.items()):
                ids = (taken,) if isinstance(taken, str) else tuple(taken)
                yield Line(endpoint_id=endpoint_id, input_digest=digest.hex(), request_ids=ids)

    def taken(self, endpoint_id: str, input: Any) -> int:
        """Return how many requests were accepted for an input.

        Args:
            endpoint_id: the endpoint.
            input: the input, as JSON values.

        Raises:
            TypeError: If the input is not JSON.
        """
        taken = self._taken.get(endpoint_id, {}).get(_digest(input))
        return 0 if taken is None else _count(taken)

    def total(self, endpoint_id: str) -> int:
        """Return how many requests of an endpoint were accepted.

        Args:
            endpoint_id: the endpoint.
        """
        return sum(_count(taken) for taken in list(self._taken.get(endpoint_id, {}).values()))

    def repeated(self) -> list[Line]:
        """Return the inputs for which more than one request was accepted."""
        return [line for line in self if line.taken > 1]

    def clear(self) -> None:
        """Delete all entries, so that every count is 0."""
        self._taken.clear()


def _count(taken: str | list[str]) -> int:
    return 1 if isinstance(taken, str) else len(taken)
