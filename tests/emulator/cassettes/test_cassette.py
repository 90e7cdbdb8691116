from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.emulator.cassettes.cassette import Cassette, Moment, RecordedAnswer, RecordedFile
from fal_async.emulator.cassettes.content import Content
from fal_async.emulator.cassettes.document_fields import CassetteError
from tests.emulator.cassettes.samples import PICTURE, cassette

_FILE = RecordedFile(file="ab" * 32 + ".png", content_type="image/png", size=3)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _no_files(_: bytes) -> str:
    return "a file"


def _read_no_file(name: str) -> bytes:
    raise FileNotFoundError(name)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_a_content_gives_back_exactly_the_bytes_that_it_was_made_of(data: bytes) -> None:
    files: dict[str, bytes] = {}

    def keep(data: bytes) -> str:
        files["one"] = data
        return "one"

    assert Content.of(data, keep).data(files.__getitem__) == data


@given(_JSON, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans(), st.booleans())
def test_json_of_the_usual_servers_is_stored_as_json_and_not_as_text(
    value: Any, separators: tuple[str, str], ascii: bool, is_event: bool
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=ascii)
    data = (f"data: {text}\n\n" if is_event else text).encode()
    content = Content.of(data, _no_files)
    assert content.kind == "json"
    assert content.data(_read_no_file) == data


@pytest.mark.parametrize("text", ["", "NaN", "{ }", '{"a":1,"a":2}', "1e5", "data: {}", '{"a": 1}\n'])
def test_a_text_that_json_would_not_give_back_is_stored_as_text(text: str) -> None:
    content = Content.of(text.encode(), _no_files)
    assert (content.kind, content.value) == ("text", text)


@given(_JSON, _JSON, st.lists(st.floats(0, 1e6), max_size=4).map(sorted))
def test_a_cassette_read_from_its_own_document_is_the_same(
    input: Any, result: Any, times: list[float]
) -> None:
    moments = tuple(Moment(after=at, queue_position=number) for number, at in enumerate(times))
    answer = RecordedAnswer(after=1e6, status=200, body=Content("json", result, "spaced ascii"))
    made = cassette({"value": input}, moments=moments, answer=answer, files={PICTURE: _FILE})
    document = json.loads(json.dumps(made.to_document()))
    assert Cassette.from_document("one.json", document) == made


_BROKEN: list[tuple[Any, str]] = [
    ({"format": 2}, "one.json: format: 2: this fal_async reads format 1"),
    ({"format": None}, "one.json: format: None: expected an integer"),
    ({"colour": 1}, "one.json: unknown field 'colour'"),
    ({"via": "mail"}, "one.json: via: 'mail': expected one of queue, run, stream"),
    ({"recorded_at": "yesterday"}, "one.json: recorded_at: 'yesterday': expected a date"),
    ({"digest": "1:00"}, "one.json: digest: 1:00 is not the digest of the field input"),
    ({"answer": None}, "one.json: the field 'answer' is missing"),
    ({"answer": []}, "one.json: answer: expected an object, not []"),
    ({"answer": {"after": -1, "status": 200}}, "one.json: answer.after: -1: expected seconds >= 0"),
    ({"input": {"seed": math.inf}}, "one.json: a number is NaN or infinite"),
    ({"request_id": "a/b"}, "one.json: request_id: 'a/b': expected letters, digits and hyphens"),
    (
        {"answer": {"after": 9, "status": 200, "headers": {"retry-after": "1\n"}}},
        "one.json: answer.headers.retry-after: '1\\n': expected printable characters",
    ),
    (
        {"answer": {"after": 9, "status": 200, "body": {"text": "\ud800"}}},
        "one.json: answer.body.text: half of a surrogate pair",
    ),
    ({"answer": {"after": 1}}, "one.json: answer: the field 'status' is missing"),
    ({"answer": {"after": 1, "status": 99}}, "one.json: answer.status: 99: expected an HTTP status"),
    (
        {"answer": {"after": 9, "status": 200, "body": {"json": 1, "style": "odd"}}},
        "one.json: answer.body.style: 'odd': expected one of",
    ),
    (
        {"answer": {"after": 9, "status": 200, "body": {}}},
        "one.json: answer.body: expected one of the fields",
    ),
    ({"moments": {}}, "one.json: moments: {}: expected an array"),
    ({"moments": [{"after": 0, "status": "DONE"}]}, "one.json: moments[0].status: 'DONE'"),
    ({"moments": [{"after": True}]}, "one.json: moments[0].after: True: expected seconds"),
    ({"moments": [{"after": 1, "log": {}}]}, "one.json: moments[0].log: the field 'message' is missing"),
    ({"moments": [{"after": 2}, {"after": 1}]}, "one.json: moments: expected moments in order"),
    ({"files": {PICTURE: 1}}, f"one.json: files['{PICTURE}']: expected an object, not 1"),
]


@pytest.mark.parametrize(("change", "message"), _BROKEN, ids=[message[:40] for _, message in _BROKEN])
def test_an_error_in_an_edited_cassette_names_the_file_and_the_field(change: Any, message: str) -> None:
    document = cassette({"prompt": "a cat"}).to_document() | change
    with pytest.raises(CassetteError) as raised:
        Cassette.from_document("one.json", document)
    assert message in str(raised.value)


@given(st.dictionaries(st.sampled_from(list(cassette({}).to_document())), _JSON, min_size=1, max_size=3))
def test_any_wrong_value_of_a_field_gives_a_cassette_error_or_a_cassette(change: dict[str, Any]) -> None:
    document = cassette({}).to_document() | change
    with suppress(CassetteError):
        Cassette.from_document("one.json", document)
