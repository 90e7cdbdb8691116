from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError
from fal_async.protocol.storage.multipart import (
    MAX_PARTS,
    PART_SIZE,
    MiB,
    MultipartTarget,
    SentPart,
    UploadRecord,
    UploadState,
    parse_record,
    part_line,
    plan_parts,
)

TERA = 2**40


@given(st.integers(1, 200 * TERA), st.integers(1, 64 * MiB))
def test_no_file_needs_more_than_ten_thousand_parts(size: int, part_size: int) -> None:
    plan = plan_parts(size, part_size)
    assert 1 <= plan.count <= MAX_PARTS
    assert plan.part_size >= part_size
    if plan.part_size > part_size:
        assert plan.part_size % MiB == 0
        assert -(-size // part_size) > MAX_PARTS, "it grows only if necessary"


@given(st.integers(1, 10_000), st.integers(1, 4000))
def test_the_parts_of_an_upload_cover_the_file_exactly_once(size: int, part_size: int) -> None:
    plan = plan_parts(size, part_size)
    spans = [plan.span(number) for number in range(1, plan.count + 1)]
    assert [offset for offset, _ in spans] == [n * plan.part_size for n in range(plan.count)]
    assert sum(length for _, length in spans) == size
    assert all(length == plan.part_size for _, length in spans[:-1])
    assert 1 <= spans[-1][1] <= plan.part_size


def test_the_part_size_grows_only_above_ten_thousand_usual_parts() -> None:
    assert plan_parts(MAX_PARTS * PART_SIZE).part_size == PART_SIZE
    assert plan_parts(MAX_PARTS * PART_SIZE + 1).part_size == 11 * MiB


def test_part_numbers_are_inserted_between_path_and_query_of_the_upload_url() -> None:
    target = MultipartTarget(file_url="f", upload_url="https://x/u/name.bin?sig=1&b=2", presigned=True)
    assert target.url(7) == "https://x/u/name.bin/7?sig=1&b=2"
    assert target.url("complete") == "https://x/u/name.bin/complete?sig=1&b=2"
    plain = MultipartTarget(file_url="f", upload_url="https://x/f/multipart/id", presigned=False)
    assert plain.url(1) == "https://x/f/multipart/id/1"
    assert "sig=1" not in repr(target)


texts = st.text(max_size=20)
records = st.builds(
    UploadRecord,
    target=st.builds(MultipartTarget, file_url=texts, upload_url=texts, presigned=st.booleans()),
    plan=st.builds(plan_parts, st.integers(1, 10**6), st.integers(100, 10**6)),
    content_type=texts,
    file_name=texts,
    lifecycle=st.none() | texts,
)


def with_parts(record: UploadRecord, numbers: set[int]) -> UploadRecord:
    for number in numbers:
        if number <= record.plan.count:
            record.parts[number] = SentPart(number=number, etag=f'"{number}"', digest=f"{number:064x}")
    return record


@given(records, st.sets(st.integers(1, 50)))
def test_an_upload_record_is_parsed_to_an_equal_record(record: UploadRecord, numbers: set[int]) -> None:
    with_parts(record, numbers)
    assert parse_record(record.to_json()) == record
    assert UploadState.from_json(UploadState(record).to_json()).record == record


@given(records, st.sets(st.integers(1, 50)), st.integers(0, 200))
def test_an_upload_record_whose_last_line_is_cut_off_is_still_read(
    record: UploadRecord, numbers: set[int], keep: int
) -> None:
    with_parts(record, numbers)
    last = part_line(SentPart(number=1, etag="e", digest="d"))
    read = parse_record(record.to_json() + last[: min(keep, len(last) - 2)])
    assert read is not None
    assert read.parts == record.parts


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_upload_record_gives_an_empty_state(text: str) -> None:
    assert parse_record(text) is None
    assert UploadState.from_json(text).to_json() == ""


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "nonsense",
        "[]",
        '{"fal_upload":2}',
        '{"fal_upload":1,"size":0,"part_size":1,"file_url":"","upload_url":"","presigned":true,"content_type":"","file_name":""}',
        '{"fal_upload":1,"size":5,"part_size":5,"file_url":"","upload_url":"","presigned":true,"content_type":"","file_name":""}\n{"part":9,"etag":"","sha256":""}',
    ],
)
def test_text_that_is_not_an_upload_record_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a record of an upload"):
        parse_record(text)


@given(st.text(max_size=100))
def test_any_text_is_parsed_as_an_upload_record_or_raises_configuration_error(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse_record(text)
