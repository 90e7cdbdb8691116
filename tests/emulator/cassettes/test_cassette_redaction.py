from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.emulator.cassettes.cassette_redaction import Redactor, kept_headers, without_signatures

_KEY = "0f2a-id:0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://a.b/c?token=abc&x=1", "https://a.b/c?token=REDACTED&x=1"),
        ("wss://fal.run/x?fal_jwt_token=eyJ.a.b", "wss://fal.run/x?fal_jwt_token=REDACTED"),
        (
            "see https://s3/x.png?X-Amz-Signature=1f&X-Amz-Date=2 now",
            "see https://s3/x.png?X-Amz-Signature=REDACTED&X-Amz-Date=REDACTED now",
        ),
        ("https://user:pass@host/x", "https://REDACTED@host/x"),
        ("https://a/b?q=monkey&monkey=1", "https://a/b?q=monkey&monkey=1"),
        ("a token=abc without a URL", "a token=abc without a URL"),
        ("https://a/b?api_key=1#top", "https://a/b?api_key=REDACTED#top"),
    ],
)
def test_tokens_and_signatures_in_urls_are_replaced_and_the_rest_is_kept(text: str, redacted: str) -> None:
    assert without_signatures(text) == redacted
    assert without_signatures(redacted) == redacted


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_key_is_found_anywhere_in_values_and_in_files(before: str, after: str) -> None:
    redactor, text = Redactor([_KEY]), f"{before}{_KEY}{after}"
    value = redactor.value({text: [text, {"Authorization": f"Key {text}"}]})
    assert "0123456789abcdef" not in str(value)
    assert b"0123456789abcdef" not in redactor.data(text.encode())
    assert "0123456789abcdef" not in redactor.text("only 0123456789abcdef, without the id")


def test_only_harmless_headers_are_kept() -> None:
    headers = {"Set-Cookie": "a", "Authorization": "Key x", "x-fal-cdn-token": "t", "Retry-After": "3"}
    assert kept_headers(headers | {"Content-Type": "text/plain"}) == {
        "content-type": "text/plain",
        "retry-after": "3",
    }
