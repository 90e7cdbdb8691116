"""What the ledger stores of responses and inputs, and how a result is replayed from it."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async.errors import ResponseDecodeError, ResultExpiredError, ValidationError
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.ledger.digests import FileDigest
from fal_async.protocol.ledger.ends import done
from fal_async.protocol.ledger.entry import LedgerRequest, Payload, Place, Record, Space, State
from fal_async.protocol.ledger.kept import kept_headers, kept_input
from fal_async.protocol.ledger.replays import replayed, replayed_error
from fal_async.protocol.ledger.stored_errors import stored_error
from fal_async.protocol.storage.media import data_uri


def test_the_ledger_stores_only_headers_that_a_replay_needs() -> None:
    headers = {
        "x-fal-request-id": "id-1",
        "x-fal-cdn-token": "secret",
        "authorization": "Key a:b",
        "x-fal-error-type": "t" * 1001,
        "content-type": "image/png",
    }
    assert kept_headers(headers) == {"x-fal-request-id": "id-1", "content-type": "image/png"}
    assert kept_headers(None) == kept_headers([1]) == kept_headers({1: 2, "content-type": 3}) == {}


def stored(value: Any, *files: FileDigest) -> Any:
    payload = kept_input(value, files)
    assert payload.content_type == "application/json"
    return json.loads(payload.body)


PICTURE = b"\x89PNG" + bytes(range(256)) * 40
SHA = hashlib.sha256(PICTURE).hexdigest()
CUT = f"data:image/png;size={len(PICTURE)};sha256={SHA}"


def test_an_input_without_files_is_stored_as_it_was_sent() -> None:
    assert stored(None) == {}
    value = {"prompt": "data: 5, metadata:a/b,c and data:x,y", "n": [1, None, 2.5]}
    assert stored(value) == value


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (data_uri(PICTURE, "image/png"), CUT),
        (data_uri(PICTURE, "image/png").replace("data:", "DATA:"), CUT),
        (f"like ({data_uri(PICTURE, 'image/png')}), and bigger", f"like ({CUT}), and bigger"),
        (
            "data:;base64,QUJD",
            f"data:text/plain;charset=US-ASCII;size=3;sha256={hashlib.sha256(b'ABC').hexdigest()}",
        ),
        (
            "data:text/plain;charset=utf-8,a%20b c",
            "data:text/plain;charset=utf-8;size=5;sha256=" + hashlib.sha256(b"a b c").hexdigest(),
        ),
    ],
)
def test_a_data_uri_is_stored_as_its_type_size_and_sha_256(text: str, kept: str) -> None:
    assert stored({"a": [{"image_url": text}]}) == {"a": [{"image_url": kept}]}


def test_a_malformed_data_uri_is_stored_as_the_sha_256_of_its_text() -> None:
    text = "data:image/png;base64," + "?" * 5000
    (found,) = stored({"a": text}).values()
    assert (
        found == f"data:image/png;base64;size={len(text)};sha256={hashlib.sha256(text.encode()).hexdigest()}"
    )


def test_a_file_is_stored_as_its_type_and_its_sha_256() -> None:
    digest = FileDigest(sha256=SHA, content_type="image/png")
    assert stored({"image_url": Path("cat.png")}, digest) == {"image_url": f"file:image/png;sha256={SHA}"}


# Replays.


def record(state: State, end: Payload | None, **more: Any) -> Record:
    return Record(
        number=1,
        version=1,
        place=Place(space=Space(origin="https://queue.fal.run"), key="k"),
        endpoint_id="fal-ai/flux/dev",
        input_digest="1:",
        state=state,
        requests=(LedgerRequest(n=1, request_id="id-1"),),
        end=end,
        **more,
    )


def of_answer(body: bytes, content_type: str = "application/json", **headers: str) -> Record:
    sent = {"content-type": content_type, "x-fal-request-id": "id-1", **headers}
    end = done(HttpResponse(status=200, headers=sent, body=body), 1.0)
    return record("done", end.payload, headers=dict(end.headers))


def test_a_replayed_result_has_the_stored_data_and_is_a_new_object() -> None:
    kept = of_answer(b'{"seed": 18446744073709551617, "a": [1.5]}', **{"x-fal-billable-units": "2.5"})
    of_request = LedgerRequest(n=2, request_id="id-1", outcome="done", cost=Decimal("0.05"))
    earlier = LedgerRequest(n=1, request_id="id-0", outcome="failed", cost=Decimal("0.02"))
    kept = attrs.evolve(kept, requests=(earlier, of_request))
    result = replayed(kept)
    assert result.data == {"seed": 18446744073709551617, "a": [1.5]}
    assert (result.request_id, result.billable_units, result.cost) == ("id-1", 2.5, Decimal("0.05"))
    assert (result.from_ledger, result.attempts, result.status) == (True, {}, None)
    other = replayed(kept)
    assert other.data is not result.data, "each caller has its own copy"


@pytest.mark.parametrize(
    ("body", "content_type", "data"),
    [(b"hello", "text/plain", "hello"), (b"\x89PNG", "image/png", b"\x89PNG"), (b"[1]", "", [1])],
)
def test_a_replayed_result_is_decoded_by_its_stored_content_type(
    body: bytes, content_type: str, data: Any
) -> None:
    assert replayed(of_answer(body, content_type)).data == data


@attrs.frozen
class Seed:
    seed: int


def test_a_replayed_result_is_built_as_the_output_type_of_each_call() -> None:
    kept = of_answer(b'{"seed": 5}')
    assert replayed(kept, Seed).data == Seed(5)
    with pytest.raises(ResponseDecodeError) as refused:
        replayed(of_answer(b'{"seed": "x"}'), Seed)
    assert refused.value.request_id == "id-1"
    assert replayed(kept).data == {"seed": 5}


def test_a_replayed_error_is_a_new_one_each_time() -> None:
    kept = record("failed", stored_error(ValidationError("no", status=422)), final=True)
    with pytest.raises(ValidationError) as raised:
        replayed(kept)
    assert (raised.value.request_id, raised.value.endpoint_id) == ("id-1", "fal-ai/flux/dev")
    assert replayed_error(kept) is not replayed_error(kept)
    assert replayed_error(of_answer(b"{}")) is None


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_replaying_an_outcome_that_is_no_longer_stored_raises_result_expired(state: State) -> None:
    for kept in (record(state, None), record(state, None, expired=True)):
        with pytest.raises(ResultExpiredError, match="no longer keeps"):
            replayed(kept)
