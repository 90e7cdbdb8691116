from __future__ import annotations

from urllib.parse import urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError, DownloadError
from fal_async.protocol.storage.downloads import (
    Progress,
    begin,
    check_url,
    download_request,
    is_complete,
    nothing_is_left,
)

OLD, NOW = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
URL = "https://v3.fal.media/files/a/cat.png"
SAME = {"etag": '"v1"'}
MIDDLE = Progress(offset=5, total=10, etag='"v1"', validator='"v1"')


def test_the_first_download_request_asks_for_the_whole_file_without_a_key() -> None:
    request = download_request(URL, Progress())
    assert "Range" not in request.headers
    assert not request.auth
    assert request.headers["Accept-Encoding"] == "identity"


def test_a_broken_download_requests_the_rest_only_if_the_file_is_unchanged() -> None:
    request = download_request(URL, MIDDLE, "Bearer t")
    assert (request.headers["Range"], request.headers["If-Range"]) == ("bytes=5-", '"v1"')
    assert request.headers["Authorization"] == "Bearer t"
    unsure = download_request(URL, attrs.evolve(MIDDLE, validator=None)).headers
    assert "Range" not in unsure
    assert "If-Range" not in unsure


def test_a_download_answered_with_200_begins_at_the_first_byte() -> None:
    headers = {"content-length": "10", "etag": '"v1"'}
    whole = Progress(offset=0, total=10, etag='"v1"', validator='"v1"')
    assert begin(URL, 200, headers, Progress()) == whole
    again = begin(URL, 200, {"content-length": "12", "etag": '"v2"'}, MIDDLE)
    assert again == Progress(offset=0, total=12, etag='"v2"', validator='"v2"'), (
        "another file is downloaded from its beginning"
    )
    coded = begin(URL, 200, {"content-length": "10", "content-encoding": "gzip", "etag": '"v"'}, Progress())
    assert coded is not None
    assert (coded.total, coded.validator) == (None, None), (
        "offsets in the decoded file are not offsets in the body"
    )


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"v"', "last-modified": OLD, "date": NOW}, '"v"'),
        ({"etag": 'W/"v"', "last-modified": OLD, "date": NOW}, OLD),
        ({"last-modified": NOW, "date": NOW}, None),
        ({"last-modified": OLD}, None),
        ({"last-modified": "yesterday", "date": NOW}, None),
        ({"last-modified": OLD, "date": "Sun, 06 Nov 1994 08:49:38 -0000"}, None),
        ({"etag": "v"}, None),
        ({"etag": '"a", "b"'}, None),
        ({"etag": '"\udce4"'}, None),
        ({}, None),
    ],
)
def test_only_a_strong_etag_or_an_older_date_is_used_as_if_range_validator(
    headers: dict[str, str], validator: str | None
) -> None:
    progress = begin(URL, 200, headers, Progress())
    assert progress is not None
    assert progress.validator == validator


def test_a_206_with_the_requested_range_resumes_the_download() -> None:
    assert begin(URL, 206, {"content-range": "bytes 5-9/10", **SAME}, MIDDLE) == MIDDLE
    assert begin(URL, 206, {"content-range": "Bytes 5-9/*", **SAME}, MIDDLE) == MIDDLE
    unknown = begin(URL, 206, {"content-range": "bytes 5-9/10", **SAME}, attrs.evolve(MIDDLE, total=None))
    assert unknown == MIDDLE


@pytest.mark.parametrize(
    "content_range",
    [
        "bytes 4-9/10",
        "bytes 5-9/11",
        "bytes 5-8/10",
        "",
        "nonsense",
        "bytes */10",
        "items 5-9/10",
        "bytes 5-9/1\u0660",
    ],
)
def test_a_206_with_another_range_does_not_resume_the_download(content_range: str) -> None:
    assert begin(URL, 206, {"content-range": content_range, **SAME}, MIDDLE) is None
    never_told = attrs.evolve(MIDDLE, total=None)
    assert begin(URL, 206, {"content-range": "bytes 5-9/*", **SAME}, never_told) is None


def test_a_download_is_complete_when_its_known_length_has_arrived() -> None:
    assert is_complete(Progress(offset=10, total=10))
    assert is_complete(Progress(offset=10))
    assert not is_complete(MIDDLE)
    assert not is_complete(Progress(offset=11, total=10))


@given(st.dictionaries(st.sampled_from(["content-range", "content-length", "etag"]), st.text(max_size=30)))
def test_any_headers_of_a_206_resume_the_download_or_raise_download_error(headers: dict[str, str]) -> None:
    try:
        progress = begin(URL, 206, headers, MIDDLE)
    except DownloadError:
        return
    assert progress in (None, MIDDLE)


@pytest.mark.parametrize("url", ["", "cat.png", "/etc/passwd", "file:///etc/passwd", "ftp://x/y", None])
def test_a_download_url_of_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="url="):
        check_url(url)


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (URL, URL),
        ("https://h/a b/ü.png?x=ö#y z", "https://h/a%20b/%C3%BC.png?x=%C3%B6#y%20z"),
        ("HTTP://h/a%20b%2Fc?s=a%2Bb%3D&t=[1]", "HTTP://h/a%20b%2Fc?s=a%2Bb%3D&t=[1]"),
        ("http://h/a\r\nX-Evil: 1", "http://h/a%0D%0AX-Evil:%201"),
        ("http://h/a\\b", "http://h/a%5Cb"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://me:secret@h", "http://me:secret@h"),
        ("DATA:,a b", "DATA:,a b"),
    ],
)
def test_a_download_url_is_percent_encoded_where_needed(url: str, sent: str) -> None:
    assert check_url(url) == sent


@pytest.mark.parametrize(
    "url",
    [
        "http:///x",
        "http://h:99999/x",
        "http://h:x/",
        "http://a b/x",
        "http://?x",
        "http://[::1/x",
        "http://h\\x@y/",
    ],
)
def test_a_download_url_without_a_valid_host_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a host"):
        check_url(url)


@given(st.text(max_size=30) | st.text("/?#%:@[]\\\ud800\u2100 .aü1", max_size=12))
def test_any_text_after_http_is_encoded_to_a_valid_url_or_refused(text: str) -> None:
    try:
        url = check_url("http://" + text)
    except ConfigurationError:
        return
    url.encode()
    assert urlsplit(url).hostname


def test_the_error_about_a_wrong_url_contains_no_password_or_query() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_url("http://me:secret@h:99999/x?token=secret")
    assert "secret" not in str(caught.value)


def test_a_416_at_the_end_of_the_file_means_that_nothing_is_left() -> None:
    headers, endless = {"content-range": "bytes */5"}, attrs.evolve(MIDDLE, total=None)
    assert nothing_is_left(416, headers, endless)
    assert nothing_is_left(416, {**headers, **SAME}, endless)
    assert not nothing_is_left(416, {**headers, "etag": '"v2"'}, endless)
    assert not nothing_is_left(416, headers, MIDDLE), "the file is longer"
    assert not nothing_is_left(416, headers, attrs.evolve(endless, validator=None)), "no rest was requested"
    assert not nothing_is_left(416, headers, attrs.evolve(endless, offset=4))
    assert not nothing_is_left(404, headers, endless)
    assert not nothing_is_left(416, {}, endless)
