"""What each item of a batch is known by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from fal_async.batch.keys.content_digests import ContentDigests
from fal_async.batch.keys.seen_keys import SeenKeys
from fal_async.batch.requests.request_maker import Work
from fal_async.checks import check_function
from fal_async.errors import ConfigurationError, FalError
from fal_async.protocol.ledger.key_checks import check_key
from fal_async.records import fields_of, is_record

KeyOf = str | Callable[[Any], str]


def check_key_of(key: object) -> None:
    """The name of a member, a function of the input, or None."""
    if key is None or (isinstance(key, str) and key):
        return
    if not callable(key):
        raise ConfigurationError(
            f"key is a {type(key).__name__}: expected a member's name, such as 'id', or a function of the input"
        )
    check_function("key", key, takes=("input",))


class ItemKeys:
    """Gives each item its key, in the order of the inputs.

    By default it is made of the endpoint and the input, and of how many equal ones came before: the same line of
    code gives the same keys again.
    """

    def __init__(self, key: KeyOf | None, endpoint_id: str, digests: ContentDigests, seen: SeenKeys) -> None:
        self._key, self._endpoint_id = key, endpoint_id
        self._digests, self._seen = digests, seen

    async def name(self, work: Work) -> None:
        """Set its key, and what its input is recognised by. What is wrong with either is the item's own error.

        Raises what the caller's function raises.
        """
        try:
            work.recognised = await self._digests.of_input(work.input)
        except FalError as error:  # also what reading its files raises
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
        # Cut to what a file name takes well; 128 bits of SHA-256 are as good as all of them here.
        stem = hashlib.sha256(f"{self._endpoint_id}\n{digest}".encode()).hexdigest()[:32]
        occurrence = self._seen.occurrence(stem)
        return stem if occurrence == 1 else f"{stem}-{occurrence}"

    def _given(self, input: Any) -> str:
        value = _member(input, self._key) if isinstance(self._key, str) else _called(self._key, input)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # a column of numbers
        return check_key(value)


def _member(input: Any, name: str) -> Any:
    fields = (
        input if isinstance(input, Mapping) else fields_of(input, to_send=False) if is_record(input) else {}
    )
    try:
        return fields[name]
    except KeyError:
        raise ConfigurationError(f"the input has no member {name!r}, which is to be its key") from None


def _called(function: Any, input: Any) -> Any:
    try:
        return function(input)
    except ConfigurationError as error:
        error.from_caller = True
        raise
