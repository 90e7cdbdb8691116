"""What a keyed call does, for each state of its ledger entry."""

from __future__ import annotations

import re
from typing import Any, get_args

import attrs
import pytest

from fal_async.errors import LedgerError
from fal_async.protocol.ledger import refusals
from fal_async.protocol.ledger.decisions import (
    Asked,
    Attach,
    Conflict,
    Expired,
    LookUp,
    Replay,
    Report,
    Step,
    Submit,
    WaitFor,
    decide,
)
from fal_async.protocol.ledger.digests import input_digest
from fal_async.protocol.ledger.entry import LedgerRequest, Outcome, Owner, Place, Record, Space, State

ENDPOINT, INPUT = "fal-ai/flux/dev", input_digest({"prompt": "a cat"})
PLACE = Place(space=Space(origin="https://queue.fal.run"), key="order-42")
ASKED = Asked(endpoint_id=ENDPOINT, input_digest=INPUT)
OWNER = Owner(number=7, host="web-1", pid=4711)


def attempt(n: int, outcome: Outcome | None = None, *, known: bool = True) -> LedgerRequest:
    return LedgerRequest(
        n=n,
        body_digest=INPUT,
        request_id=f"id-{n}" if known else None,
        claimed_at=100.0,
        claimed_until=130.0,
        outcome=outcome,
    )


def record(state: State, *attempts: LedgerRequest, **more: Any) -> Record:
    return Record(
        number=1,
        version=9,
        place=PLACE,
        endpoint_id=ENDPOINT,
        input_digest=INPUT,
        state=state,
        attempts=len(attempts),
        requests=attempts,
        **more,
    )


def failed(*outcomes: Outcome, final: bool = False) -> Record:
    return record("failed", *(attempt(n, outcome) for n, outcome in enumerate(outcomes, 1)), final=final)


CLAIMED = record("claimed", attempt(1, known=False), owner=OWNER)
SUBMITTED = record("submitted", attempt(1), owner=OWNER)
DONE = record("done", attempt(1, "done"))
CANCELLED = record("cancelled", attempt(1, "cancelled"))
SUBMIT = Submit(seen=9)


def lives(of: Record) -> Record:
    return attrs.evolve(of, owner_lives=True)


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (None, Submit(seen=None)),
        (DONE, Replay()),
        (failed("failed", final=True), Replay()),
        (failed("expired", final=True), Replay()),
        (failed("failed"), SUBMIT),
        (CANCELLED, SUBMIT),
        (SUBMITTED, Attach(request_id="id-1", take=True)),
        (lives(SUBMITTED), Attach(request_id="id-1", take=False)),
        (record("failed", attempt(1), attempt(2, "failed")), Attach(request_id="id-1", take=False)),
        (
            record("failed", attempt(1), attempt(2, "failed"), final=True),
            Attach(request_id="id-1", take=False),
        ),
        (record("uncertain", attempt(1), attempt(2, known=False)), Attach(request_id="id-1", take=False)),
        (record("submitted", attempt(1, "failed"), attempt(2, known=False)), LookUp(resubmit=False)),
        (lives(CLAIMED), WaitFor(seconds=30.0)),
        (CLAIMED, LookUp(resubmit=False)),
        (record("uncertain", attempt(1, known=False)), LookUp(resubmit=False)),
        (lives(record("uncertain", attempt(1, known=False))), LookUp(resubmit=False)),
        (
            lives(record("claimed", attempt(1, "failed"), attempt(2, known=False))),
            WaitFor(seconds=30),
        ),
    ],
)
def test_the_first_step_of_a_keyed_call_follows_from_its_ledger_entry(
    found: Record | None, step: Step
) -> None:
    assert decide(found, ASKED) == step


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("living", [True, False])
def test_a_key_of_another_endpoint_or_input_is_a_conflict_in_every_state(state: State, living: bool) -> None:
    found = record(state, attempt(1, known=False), owner_lives=living, expired=state == "done")
    eager = attrs.evolve(ASKED, retry_failed=True, retries=9, uncertain="resubmit")
    assert decide(found, attrs.evolve(eager, endpoint_id="fal-ai/flux/schnell")) == Conflict(
        differs="endpoint_id"
    )
    assert decide(found, attrs.evolve(eager, input_digest=input_digest({}))) == Conflict(differs="input")


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
@pytest.mark.parametrize("final", [True, False])
def test_a_ledger_entry_without_its_payload_is_never_submitted_again(state: State, final: bool) -> None:
    found = record(state, attempt(1, "done"), final=final, expired=True)
    eager = attrs.evolve(ASKED, retry_failed=True, retries=9, uncertain="resubmit")
    assert decide(found, ASKED) == decide(found, eager) == Expired()


@pytest.mark.parametrize("final", [True, False])
def test_a_digest_of_a_newer_version_raises_an_error_and_is_not_a_conflict(final: bool) -> None:
    newer = attrs.evolve(DONE, input_digest="2:" + "0" * 64, final=final)
    with pytest.raises(LedgerError, match="update fal_async"):
        decide(newer, ASKED)


def test_an_entry_in_an_unknown_state_raises_an_error_and_is_not_submitted() -> None:
    newer: Any = "paused"
    with pytest.raises(LedgerError, match="update fal_async"):
        decide(record(newer, attempt(1, "failed")), ASKED)


@pytest.mark.parametrize("found", [CLAIMED, record("uncertain", attempt(1, known=False))])
def test_the_uncertain_option_decides_between_report_lookup_and_resubmit(found: Record) -> None:
    assert decide(found, attrs.evolve(ASKED, uncertain="report")) == Report()
    assert decide(found, attrs.evolve(ASKED, uncertain="resubmit")) == LookUp(resubmit=True)
    assert decide(found, attrs.evolve(ASKED, retry_failed=True)) == LookUp(resubmit=False)


@pytest.mark.parametrize(
    ("outcomes", "retries", "step"),
    [
        (["failed"], 0, Replay()),
        (["failed"], 1, SUBMIT),
        (["failed", "failed"], 1, Replay()),
        (["failed", "failed"], 2, SUBMIT),
        (["cancelled", "cancelled", "failed"], 1, SUBMIT),
        (["failed", "failed", "failed"], 2, Replay()),
    ],
)
def test_retries_of_a_keyed_call_count_the_failures_of_all_processes(
    outcomes: Any, retries: int, step: Step
) -> None:
    asked = attrs.evolve(ASKED, retries=retries)
    assert decide(failed(*outcomes), asked) == step
    assert decide(failed(*outcomes), asked.begun(failed(*outcomes[:-1]))) == step, "in the same process, too"


def test_a_keyed_call_without_retries_makes_exactly_one_attempt() -> None:
    for before in (None, failed("failed"), CANCELLED):
        asked = ASKED.begun(before)
        n = 0 if before is None else 1
        ended = record("failed", *([attempt(1, "failed")] * n), attempt(n + 1, "failed"))
        assert decide(before, asked) == Submit(seen=None if before is None else 9)
        assert decide(ended, asked) == Replay()
        assert decide(ended, ASKED) == SUBMIT, "the next call makes its own attempt"


def test_a_call_that_waited_for_a_request_gets_its_cancellation() -> None:
    assert decide(CANCELLED, ASKED.begun(lives(SUBMITTED))) == Replay()
    assert decide(CANCELLED, attrs.evolve(ASKED, retries=5).begun(None)) == Replay()


@pytest.mark.parametrize(
    "found", [failed("failed", final=True), failed("expired", final=True), failed("failed"), CANCELLED]
)
def test_retry_failed_submits_a_failed_entry_once_and_counts_its_retries_anew(found: Record) -> None:
    asked = attrs.evolve(ASKED, retries=1, retry_failed=True)
    assert decide(found, asked) == SUBMIT
    begun = asked.begun(found)
    assert (
        decide(
            attrs.evolve(found, requests=(*found.requests, attempt(2, "failed")), state="failed", final=True),
            begun,
        )
        == Replay()
    )
    once = attrs.evolve(found, requests=(*found.requests, attempt(2, "failed")), state="failed", final=False)
    assert decide(once, begun) == SUBMIT
    twice = attrs.evolve(once, requests=(*once.requests, attempt(3, "failed")))
    assert decide(twice, begun) == Replay()


@pytest.mark.parametrize("found", [DONE, SUBMITTED, CLAIMED, lives(CLAIMED), None])
def test_retry_failed_has_no_effect_on_entries_that_did_not_fail(found: Record | None) -> None:
    assert decide(found, attrs.evolve(ASKED, retry_failed=True)) == decide(found, ASKED)


def test_a_keyed_call_sets_its_starting_point_only_once() -> None:
    begun = ASKED.begun(None)
    assert begun.after == 0
    assert begun.begun(DONE) is begun


def test_refusals_of_keyed_calls_contain_advice_and_the_data_for_a_look_up() -> None:
    error = refusals.uncertain(lives(CLAIMED))
    assert "process 4711 on web-1 is still submitting this key" in str(error)
    assert error.input_digest == INPUT.removeprefix("1:")
    assert (error.started_at, error.ended_at, error.endpoint_id) == (100.0, 130.0, ENDPOINT)
    assert "ended while submitting" in str(refusals.uncertain(CLAIMED, "the history shows no input"))
    assert "was not answered" in refusals.uncertain(record("uncertain", attempt(1, known=False))).message
    conflict = refusals.conflict(DONE, "endpoint_id")
    assert (conflict.key, conflict.differs, conflict.request_id) == ("order-42", "endpoint_id", "id-1")
    assert re.search(r"another endpoint .*another key or another run .*flux/dev", conflict.message)
    assert "another input" in refusals.conflict(DONE, "input").message
    gone = refusals.expired(attrs.evolve(DONE, expired=True))
    assert (gone.status, gone.request_id, gone.retryable) == (404, "id-1", False)
    assert "ledger.forget" in gone.message


@pytest.mark.parametrize(
    ("found", "request_id"),
    [
        (CLAIMED, None),
        (record("claimed", attempt(1, "failed"), attempt(2, known=False)), "id-1"),
        (record("submitted", attempt(1, "failed"), attempt(2)), "id-2"),
        (record("failed", attempt(1, "failed"), attempt(2)), "id-1"),
        (record("done", attempt(1, "done"), attempt(2, "failed")), "id-1"),
        (record("done", attempt(1, "done"), attempt(2, "done")), "id-2"),
        (
            record("done", attempt(1, "done"), attempt(2, "done"), headers={"x-fal-request-id": "id-1"}),
            "id-1",
        ),
    ],
)
def test_the_request_id_of_an_entry_is_that_of_the_attempt_with_its_outcome(
    found: Record, request_id: str
) -> None:
    assert found.request_id == request_id


def test_a_request_whose_files_are_deleted_is_submitted_again_only_once() -> None:
    gone = DONE.request_id
    asked = attrs.evolve(ASKED, renew=gone)
    assert decide(DONE, asked) == SUBMIT
    renewed = record("done", attempt(1, "done"), attempt(2, "done"))
    assert renewed.request_id != gone
    assert decide(renewed, asked.begun(DONE)) == Replay(), "this call's own result"
    assert decide(renewed, asked.begun(renewed)) == Replay(), "another item has already renewed it"


@pytest.mark.parametrize("key", ["k" * 255, "order 42 of the shop " * 12])
def test_the_way_out_of_an_uncertain_submit_is_in_the_message_however_long_the_rest_is(key: str) -> None:
    owner = Owner(number=7, host="a-very-long-host-name." * 9, pid=4194304)
    claimed = attrs.evolve(CLAIMED, owner=owner, place=attrs.evolve(PLACE, key=key))
    error = refusals.uncertain(claimed, "the history was searched, and shows nothing " * 9)
    assert re.search(
        r"Decide with ledger\.resolve\('.{1,40}', request_id=\.\.\.\): the history", error.message
    )
