"""Every request and every body comes back from its line of JSON as it was."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fal_async.emulator import Answer
from fal_async.emulator.accounts.prices import Price
from fal_async.emulator.jobs.options import CallOptions
from fal_async.emulator.state.saved_bodies import SavedAnswer, answer_of, saved_answer
from fal_async.emulator.state.saved_jobs import SavedCaller, SavedJob, job_of_line, line_of
from fal_async.emulator.state.saved_values import values
from fal_async.emulator.storage.lifecycle import Acl, Lifecycle

texts = st.text(st.characters(), max_size=12)
"""Also halves of surrogate pairs, which JSON inputs can have."""
numbers = st.floats(allow_nan=False, allow_infinity=False)
documents: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
headers = st.lists(st.tuples(st.text("abc-", min_size=1, max_size=6), texts), max_size=3)
bodies = st.one_of(
    st.binary(max_size=40),
    documents.map(lambda value: json.dumps(value, separators=(",", ":")).encode()),
    documents.map(lambda value: json.dumps(value, indent=1).encode()),
    st.sampled_from([b"NaN", b"1e999", b"[1.0,1.00]", b'{"a":1,"a":2}', b"null", b""]),
)
answers = st.builds(
    lambda status, named, body: saved_answer(Answer(status, dict(named), body)),
    st.integers(200, 599),
    headers,
    bodies,
)
lifecycles = st.builds(
    Lifecycle,
    expires_in=st.none() | st.integers(1, 10**9),
    acl=st.builds(Acl, default=st.sampled_from(["allow", "forbid", "hide"])),
)
jobs = st.builds(
    SavedJob,
    request_id=texts,
    endpoint_id=texts,
    served=texts,
    caller=st.builds(SavedCaller, account=texts, key_id=st.none() | texts, is_admin=st.booleans()),
    via=st.sampled_from(["queue", "run", "stream"]),
    state=st.sampled_from(["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]),
    place=st.none() | st.integers(0, 10),
    input=documents,
    options=st.builds(
        CallOptions,
        start_timeout=st.none() | numbers,
        webhook_url=st.none() | texts,
        lifecycle=st.none() | lifecycles,
        tags=st.dictionaries(texts, texts, max_size=2),
    ),
    headers=headers,
    submitted_at=numbers,
    completed_at=st.none() | numbers,
    logs=st.lists(st.fixed_dictionaries({"message": texts, "timestamp": texts}), max_size=2),
    answer=st.none() | answers,
    price=st.none() | st.builds(Price, st.decimals(0, 10, places=6).map(abs), st.just("unit")),
)


@settings(max_examples=60)
@given(jobs)
def test_a_request_is_the_same_after_it_was_written_and_read(job: SavedJob) -> None:
    line = line_of(job)
    assert "\n" not in line
    assert job_of_line(line) == job


@settings(max_examples=100)
@given(headers, bodies)
def test_an_answer_is_the_same_to_the_byte_after_it_was_written_and_read(
    named: list[tuple[str, str]], body: bytes
) -> None:
    answer = Answer(200, dict(named), body)
    written = json.dumps(values.unstructure(saved_answer(answer)))
    again = answer_of(values.structure(json.loads(written), SavedAnswer))
    assert (again.status, dict(again.headers), again.body) == (200, dict(named), body)


def test_money_is_written_with_all_its_digits() -> None:
    price = Price(Decimal("0.000000000000000000001"), "unit")
    job = SavedJob(
        request_id="1",
        endpoint_id="me/a",
        served="me/a",
        caller=SavedCaller(account="me"),
        via="queue",
        state="COMPLETED",
        submitted_at=1.0,
        price=price,
    )
    assert job_of_line(line_of(job)).price == price
