"""Derives the key of each item of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from fal_async.batch.keys.content_digests import ContentDigests
from fal_async.batch.keys.seen_keys import SeenKeys
from fal_async.batch.requests.request_maker import Work
from fal_async.batch.shown_values import short
from fal_async.checks import check_function
from fal_async.errors import ConfigurationError, FalError
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.ledger.key_checks import check_key
from fal_async.records import fields_of, is_record

KeyOf = str | Callable[[Any], str]


def check_key_of(key: object) -> None:
    """Raise ConfigurationError unless it is the name of a member, a function of the input, or None."""
    if key is None or (isinstance(key, str) and key):
        return
    if not callable(key):
        raise ConfigurationError(
            f"key is of type {type(key).__name__}: expected the name of a member, such as 'id', or a function of "
            "the input"
        )
    check_function("key", key, takes=("input",))


def key_of_value(value: object) -> str:
    """Return a key as a str; an int is converted. Raises ConfigurationError if it is not a valid key."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # ids of database rows are often numbers
    return check_key(value)


class ItemKeys:
    """Sets the keys of items, in the order of the inputs.

    The default key is derived from the endpoint, the input, and the number of equal inputs before it. So the same
    code derives the same keys when it runs again.
    """

    def __init__(
        self, key: KeyOf | None, endpoint: EndpointId, digests: ContentDigests, seen: SeenKeys
    ) -> None:
        self._key, self._endpoint = key, endpoint
        self._digests, self._seen = digests, seen

    async def name(self, work: Work) -> None:
        """Set the key and the digests of an item. If that fails, set `work.refused` to the error.

        An exception of the caller's function `key` propagates.
        """
        try:
            self._endpoint.check_input(work.input)
            work.recognised = await self._digests.of_input(work.input)
        except FalError as error:  # also if one of its files can't be read
            work.refused = error
            return
        try:
            work.key = (
                self._given(work.input) if self._key is not None else self._default(work.recognised.digest)
            )
        except ConfigurationError as error:
            if error.from_caller:
                raise
            work.refused = error

    def _default(self, digest: str) -> str:
        # Short, because it is a part of file names. 128 bits of SHA-256 are enough to avoid collisions.
        stem = hashlib.sha256(f"{self._endpoint.full}\n{digest}".encode()).hexdigest()[:32]
        occurrence = self._seen.occurrence(stem)
        return stem if occurrence == 1 else f"{stem}-{occurrence}"

    def _given(self, input: Any) -> str:
        value = _member(input, self._key) if isinstance(self._key, str) else _called(self._key, input)
        return key_of_value(value)


def _member(input: Any, name: str) -> Any:
    fields = (
        input if isinstance(input, Mapping) else fields_of(input, to_send=False) if is_record(input) else {}
    )
    try:
        return fields[name]
    except KeyError:
        raise ConfigurationError(
            f"the input has no member {short(name)!r}: pass as key= the name of a member that each input has, "
            "or a function of the input"
        ) from None


def _called(function: Any, input: Any) -> Any:
    try:
        return function(input)
    except ConfigurationError as error:
        error.from_caller = True
        raise
