"""Checks, before the first submit, that a batch which continues an existing run has the inputs of that run."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from fal_async.batch.requests.request_maker import Work
from fal_async.errors import ConfigurationError, FalError
from fal_async.ledger.store import Search, Store
from fal_async.protocol.json_input import encode_json, input_value
from fal_async.protocol.ledger.entry import Place, Record, Space
from fal_async.protocol.ledger.key_checks import quoted

_COMPARED = 50
"""Number of entries, and of inputs, among which the most similar pair is searched. The message shows it."""
_SHOWN = 3
"""Maximum number of members' names in the message."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RunGuard:
    """Detects inputs that all differ from those of the run.

    Default keys are derived from the inputs. If each input has a part that changes from run to run, such as a seed
    or a signed URL, every key is new, and every item would be paid for again.
    """

    store: Callable[[], Awaitable[Store]]
    space: Space
    endpoint_id: str

    async def is_new(self) -> bool:
        """Return whether the run has no entry of this endpoint yet."""
        return not await (await self.store()).page(self._search(), limit=1)

    async def knows(self, work: Work) -> bool:
        """Return whether the run has an entry for this item."""
        if work.key is None:
            return False
        place = Place(space=self.space, key=work.key)
        return await (await self.store()).find(place, payloads=False) is not None

    async def refusal(self, firsts: Iterable[Work]) -> ConfigurationError:
        """Return the error for a run that has entries, but none for these items."""
        works = list(firsts)
        page = await (await self.store()).page(self._search(), limit=_COMPARED, payloads=True)
        inputs = [work.input for work in works[:_COMPARED] if work.refused is None]
        differ = _nearest(inputs, page)
        what = "" if differ is None else f" They differ in {_listed(differ)}"
        # What to do comes before the names, which may be long: a message is cut at 200 characters.
        return ConfigurationError(
            f"none of the first {len(works)} inputs is in the run {quoted(self.space.run)}, so all would "
            "be paid again. Pass extend=True if they are new, key= to name what identifies them, or another "
            f"run=.{what}"
        )

    def _search(self) -> Search:
        space = self.space
        return Search(origin=space.origin, tenant=space.tenant, run=space.run, endpoint_id=self.endpoint_id)


def _nearest(inputs: Sequence[Any], page: Sequence[Record]) -> list[str] | None:
    """Return the names of the members that differ in the most similar pair of an input and an entry.

    None if nothing can be compared, because all inputs have files or no entry has its input.
    """
    known = [stored for record in page if (stored := _stored(record)) is not None]
    pairs = (_difference(given, stored) for given in _documents(inputs) for stored in known)
    return min(pairs, key=len, default=None)


def _documents(inputs: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for input in inputs:
        try:
            yield json.loads(encode_json(input_value(input)))
        except FalError:  # the input has files, which JSON can't carry
            continue


def _stored(record: Record) -> dict[str, Any] | None:
    try:
        document = None if record.input is None else json.loads(record.input.body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _difference(given: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    missing = object()
    names = [*given, *(name for name in stored if name not in given)]
    return [name for name in names if given.get(name, missing) != stored.get(name, missing)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return (
        shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        or "how many equal inputs came before"
    )
