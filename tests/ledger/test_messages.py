"""Messages are cut at 200 characters: the way out must stand before the values that may be long."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async import CancelOutcome, FalError
from fal_async.errors.redaction import MAX_MESSAGE
from fal_async.ledger import by_hand, exporting
from fal_async.ledger.sqlite.location import check_mounts
from fal_async.ledger.sqlite.sqlite_errors import locked, name_of
from fal_async.protocol.ledger import refusals
from fal_async.protocol.ledger.entry import LedgerRequest, Place, Record, Space

KEY = ("order 42 of the shop " * 13)[:255]
PLACE = Place(space=Space(origin="https://proxy.example.com", tenant=KEY, run=KEY), key=KEY)
RECORD = Record(
    number=1,
    version=1,
    place=PLACE,
    endpoint_id="fal-ai/" + "app/" * 20,
    input_digest="1:0",
    state="uncertain",
)
UNKNOWN = attrs.evolve(RECORD, requests=(LedgerRequest(n=1),))
RUNNING = attrs.evolve(RECORD, state="submitted", requests=(LedgerRequest(n=1, request_id="id-1"),))
PATH = "/data/a folder" * 20 + "/runs.db"


class OneStore:
    async def find_request(self, origin: str, request_id: str) -> Record:
        return RECORD


async def not_found(_: Record) -> CancelOutcome:
    return CancelOutcome.NOT_FOUND


async def requested(_: Record) -> CancelOutcome:
    return CancelOutcome.CANCELLATION_REQUESTED


async def refusal(call: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(FalError) as refused:
        await call
    return refused.value.message


async def test_resolve_names_the_way_out_however_long_the_key_is() -> None:
    store: Any = OneStore()
    assert "pass the id of another request" in await refusal(by_hand.decide(store, UNKNOWN, "id-1" * 9))
    claimed = attrs.evolve(UNKNOWN, state="claimed")
    assert "wait until that process" in await refusal(by_hand.decide(store, claimed, None))
    assert "no uncertain submit" in await refusal(by_hand.decide(store, RUNNING, None))


@pytest.mark.parametrize(
    ("record", "cancels", "force", "way_out"),
    [
        (UNKNOWN, [], True, "call ledger.resolve(key, request_id=...) first"),
        (RUNNING, [], False, "pass force=True to cancel it first"),
        (RUNNING, [], True, "or call fal.queue.cancel(endpoint_id, request_id)"),
        (RUNNING, [not_found], True, "call forget again 6 minutes after its submit"),
        (RUNNING, [requested], True, "call forget again after that"),
    ],
)
async def test_forget_names_the_way_out_however_long_the_key_is(
    record: Record, cancels: list[by_hand.Cancel], force: bool, way_out: str
) -> None:
    requests = tuple(attrs.evolve(request, submitted_at=time.time()) for request in record.requests)
    recent = attrs.evolve(record, requests=requests)
    assert way_out in await refusal(by_hand.cancel_first(recent, cancels, force=force))


@pytest.mark.parametrize("differs", ["endpoint_id", "input"])
def test_a_key_conflict_names_the_way_out_however_long_the_endpoint_is(differs: Any) -> None:
    assert "pass another key or another run" in refusals.conflict(RECORD, differs).message


def test_several_entries_of_a_long_key_are_refused_with_the_arguments_that_choose_one() -> None:
    with pytest.raises(FalError, match="choose one with run=, tenant= or origin="):
        by_hand.only_one([RECORD, RECORD], KEY)


def test_an_export_to_a_long_path_is_refused_with_the_suffixes_or_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FalError, match=r"ends in \.jsonl or \.csv"):
        exporting.check_format(PATH)
    with (
        pytest.raises(FalError, match="No such file or directory"),
        exporting.exported(f"{tmp_path}/{PATH}.csv"),
    ):
        pass


def test_errors_of_a_ledger_at_a_long_path_are_never_cut() -> None:
    assert len(locked(name_of(PATH), 10.0).message) < MAX_MESSAGE
    for mounts in ([(PATH, "ext4")], [("/", "fuse.glusterfs")]):
        with pytest.raises(FalError) as refused:
            check_mounts(PATH, mounts)
        assert not refused.value.message.endswith("...")
