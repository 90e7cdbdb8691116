"""Lists of `/_emulator`: filtered, searched and cut to one page on the server.

The query of each list has `limit` (default: no limit), `offset` (default 0), `order` ("oldest", the default, or
"newest"), `text` (what to search for, whatever its case), `through` (the name of the newest entry to list, so that
pages do not move while entries arrive) and `brief` (1: each entry only with what a table shows). The answer is a
list; its header `X-Total-Count` says how many entries fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import attrs

from fal_async.emulator.admin.masks import masked
from fal_async.emulator.wire.answers import Answer, json_answer

T = TypeVar("T")
_SLICE = 500
"""How many entries are examined before other tasks get their turn."""
_SEARCHED = 4000
"""Characters of each text, and number of the texts of an entry, in which a search looks."""
ORDERS = ("oldest", "newest")


@attrs.frozen(kw_only=True)
class Wish:
    """The page that a query asks for."""

    limit: int | None
    offset: int
    newest_first: bool
    text: str
    through: str | None
    brief: bool


def wish_of(query: Mapping[str, str]) -> Wish:
    """Read the query. Raise ValueError for a bad value."""
    order = query.get("order", "oldest")
    if order not in ORDERS:
        raise ValueError(f"order={order!r}: expected one of {', '.join(ORDERS)}")
    limit = query.get("limit")
    return Wish(
        limit=None if limit is None else _count(limit, "limit"),
        offset=_count(query.get("offset", "0"), "offset"),
        newest_first=order == "newest",
        text=query.get("text", "").strip().lower(),
        through=query.get("through"),
        brief=query.get("brief") == "1",
    )


def _count(text: str, name: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{name}={text!r}: expected an int >= 0")
    return int(text)


async def listed(
    entries: Iterable[T],
    wish: Wish,
    *,
    name: Callable[[T], str],
    fits: Callable[[T], bool] | None,
    texts: Callable[[T], Iterable[Any]],
    shown: Callable[[T], Any],
) -> Answer:
    """Return one page of entries that are in order of arrival.

    `fits` is the filter of the subject, None: every entry fits. `texts` returns the values that a search looks at.
    """
    found: Sequence[T] = list(entries)
    if wish.through is not None:
        found = _through(found, wish.through, name)
    if fits is not None or wish.text:
        found = [entry async for entry in _fitting(found, fits, wish.text, texts)]
    total = len(found)
    if wish.newest_first:
        found = found[::-1]
    end = None if wish.limit is None else wish.offset + wish.limit
    page = [shown(entry) for entry in found[wish.offset : end]]
    return masked(json_answer(page, headers={"X-Total-Count": str(total)}))


def _through(entries: Sequence[T], last: str, name: Callable[[T], str]) -> Sequence[T]:
    """Return the entries up to a name; all of them if that entry was deleted."""
    for at in range(len(entries) - 1, -1, -1):
        if name(entries[at]) == last:
            return entries[: at + 1]
    return entries


async def _fitting(
    entries: Sequence[T], fits: Callable[[T], bool] | None, text: str, texts: Callable[[T], Iterable[Any]]
) -> Any:
    for at, entry in enumerate(entries):
        if at % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)  # a search through 100,000 jobs must not stop the emulator
        if (fits is None or fits(entry)) and (not text or _has(texts(entry), text)):
            yield entry


def _has(values: Iterable[Any], text: str) -> bool:
    return any(text in value[:_SEARCHED].lower() for value in islice(_strings(values), _SEARCHED))


def _strings(values: Any) -> Iterator[str]:
    """Yield the texts of a JSON value, names of members included, and numbers as they are written."""
    waiting = [values] if isinstance(values, str | Mapping) else list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from (str(key) for key in value)
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif value is not None:
            yield str(value)
