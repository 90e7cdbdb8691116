"""The model of these tests, and the check of its bills: each item has one number, one picture and one bill."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from fal_async import LedgerEntry
from fal_async.emulator import Emulator, JobContext
from tests.durability.client import PICTURES


def picture(number: int) -> bytes:
    """Return the content of an item's file."""
    return b"picture %08d\n" % number * 100


def serve_pictures(emulator: Emulator) -> None:
    """Add the model to the emulator. It runs for the input's `seconds`, and returns its number and a file."""

    @emulator.endpoint(PICTURES, runners=10_000)
    async def paint(input: Any, job: JobContext) -> Any:
        await asyncio.sleep(input.get("seconds", 0))
        number = input["n"]
        return {"n": number, "images": [await job.file(picture(number), "image/png", f"{number}.png")]}


def wrong_in_the_books(jobs: Iterable[Mapping[str, Any]], entries: Iterable[LedgerEntry]) -> list[str]:
    """Return the differences between the server's jobs and the ledger's entries.

    Each item has one paid request. Further ones are allowed only if the ledger counts them as attempts. The ledger
    must have the id of each request, except those that were submitted again after an uncertain submit.
    """
    wrong, paid = [], defaultdict[int, list[str]](list)
    for job in jobs:
        paid[job["input"]["n"]].append(job["request_id"])
    for entry in entries:
        number = entry.input["n"]
        ids, known = paid.pop(number, []), [each.request_id for each in entry.requests if each.request_id]
        if len(ids) > entry.attempts:
            wrong.append(f"no. {number}: {len(ids)} were paid, {entry.attempts} counted")
        if unknown := [id for id in known if id not in ids]:
            wrong.append(f"no. {number}: the ledger has {unknown}, the server does not")
        unknown = [id for id in ids if id not in known]
        if len(unknown) > entry.attempts - len(known):
            wrong.append(f"no. {number}: {unknown} were paid, and the ledger does not know them")
    return wrong + [f"no. {number}: {ids} were paid without an entry" for number, ids in paid.items()]
