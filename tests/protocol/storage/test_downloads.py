from __future__ import annotations

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

URL = "https://v3.fal.media/files/a/cat.png"
MIDDLE = Progress(offset=5, total=10, validator='"v1"')


def test_the_first_request_asks_for_everything() -> None:
    request = download_request(URL, Progress())
    assert "Range" not in request.headers
    assert not request.auth
    assert request.headers["Accept-Encoding"] == "identity"


def test_after_a_break_it_asks_for_the_rest_of_the_same_file() -> None:
    request = download_request(URL, MIDDLE, "Bearer t")
    assert (request.headers["Range"], request.headers["If-Range"]) == ("bytes=5-", '"v1"')
    assert request.headers["Authorization"] == "Bearer t"
    assert "If-Range" not in download_request(URL, attrs.evolve(MIDDLE, validator=None)).headers


def test_from_the_beginning() -> None:
    headers = {"content-length": "10", "etag": '"v1"'}
    assert begin(URL, 200, headers, Progress()) == Progress(offset=0, total=10, validator='"v1"')
    again = begin(URL, 200, {"content-length": "12", "etag": '"v2"'}, MIDDLE)
    assert again == Progress(offset=0, total=12, validator='"v2"'), "another file: all of it anew"
    assert begin(URL, 200, {"content-length": "10", "content-encoding": "gzip"}, Progress()).total is None
    weak = begin(URL, 200, {"etag": 'W/"v"', "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT"}, Progress())
    assert weak.validator == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_going_on() -> None:
    assert begin(URL, 206, {"content-range": "bytes 5-9/10"}, MIDDLE) == MIDDLE
    unknown = attrs.evolve(MIDDLE, total=None)
    assert begin(URL, 206, {"content-range": "bytes 5-9/10"}, unknown).total == 10
    assert begin(URL, 206, {"content-range": "bytes 5-9/*"}, MIDDLE).total == 10


@pytest.mark.parametrize(
    "content_range", ["bytes 4-9/10", "bytes 5-9/11", "", "nonsense", "bytes */10", "items 5-9/10"]
)
def test_a_rest_that_does_not_fit(content_range: str) -> None:
    with pytest.raises(DownloadError, match="changed"):
        begin(URL, 206, {"content-range": content_range}, MIDDLE)


def test_complete() -> None:
    assert is_complete(Progress(offset=10, total=10))
    assert is_complete(Progress(offset=10))
    assert not is_complete(MIDDLE)
    assert not is_complete(Progress(offset=11, total=10))


@given(st.dictionaries(st.sampled_from(["content-range", "content-length", "etag"]), st.text(max_size=30)))
def test_any_headers_begin_or_fail_clearly(headers: dict[str, str]) -> None:
    try:
        progress = begin(URL, 206, headers, MIDDLE)
    except DownloadError:
        return
    assert progress.offset == MIDDLE.offset


@pytest.mark.parametrize("url", ["", "cat.png", "/etc/passwd", "file:///etc/passwd", "ftp://x/y", None])
def test_what_is_no_url(url: str) -> None:
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
def test_a_url_as_it_goes_on_the_wire(url: str, sent: str) -> None:
    assert check_url(url) == sent


@pytest.mark.parametrize(
    "url", ["http:///x", "http://h:99999/x", "http://h:x/", "http://a b/x", "http://?x", "http://[::1/x"]
)
def test_a_url_without_a_host(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a host"):
        check_url(url)


def test_the_words_about_a_wrong_url_hold_no_secret() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_url("http://me:secret@h:99999/x?token=secret")
    assert "secret" not in str(caught.value)


def test_a_compressed_body_is_begun_anew() -> None:
    """Offsets in what was unpacked are none in what the server has."""
    coded = begin(URL, 200, {"content-length": "10", "content-encoding": "gzip", "etag": '"v"'}, Progress())
    assert "Range" not in download_request(URL, attrs.evolve(coded, offset=5)).headers


def test_a_rest_of_nothing() -> None:
    headers = {"content-range": "bytes */5"}
    assert nothing_is_left(416, headers, MIDDLE)
    assert not nothing_is_left(416, headers, Progress(offset=4))
    assert not nothing_is_left(404, headers, MIDDLE)
    assert not nothing_is_left(416, {}, MIDDLE)
