from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import File
from fal_async.emulator.cassettes.canonical_input import InputFile, canonical, digest
from fal_async.protocol.ledger.digests import FileDigest, files_of, input_digest

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_KEYS = st.one_of(_TEXT, st.sampled_from(["$file", "$$file", "content_type", "url"]))
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)
_INPUTS = st.dictionaries(_KEYS, _VALUES, max_size=4)


def _no_file(_: str) -> InputFile | None:
    return None


@given(_INPUTS)
def test_the_digest_of_a_json_input_equals_that_of_the_clients_ledger(input: dict[str, Any]) -> None:
    assert digest(canonical(input, _no_file)) == input_digest(input)


@given(st.dictionaries(_KEYS, st.binary(max_size=4), min_size=1, max_size=4), st.booleans())
def test_the_digest_of_an_input_with_files_equals_that_of_the_clients_ledger(
    files: dict[str, bytes], in_list: bool
) -> None:
    values: Any = {key: File(data, content_type="image/png") for key, data in files.items()}
    input = {"items": list(values.values()), "n": 1.0} if in_list else values
    digests = [
        FileDigest(sha256=sha256(file.data).hexdigest(), content_type="image/png") for file in files_of(input)
    ]
    uploaded = {f"https://v3.fal.media/files/{at}": data for at, data in enumerate(files.values())}
    sent = {"items": list(uploaded), "n": 1} if in_list else dict(zip(files, uploaded, strict=True))

    def file_of(url: str) -> InputFile | None:
        data = uploaded.get(url)
        return None if data is None else InputFile(sha256(data).hexdigest(), "image/png")

    assert digest(canonical(sent, file_of)) == input_digest(input, digests)


def test_a_data_uri_has_the_same_digest_as_in_the_clients_ledger() -> None:
    input = {"image_url": "data:image/png;base64,aGVsbG8="}
    assert digest(canonical(input, _no_file)) == input_digest(input)


@pytest.mark.parametrize("input", [[1.0, None], "text", 5, None])
def test_the_digest_of_an_input_that_is_no_object_has_a_version(input: Any) -> None:
    assert digest(canonical(input, _no_file)).startswith("1:")
