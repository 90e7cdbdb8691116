"""Names of downloaded files: given by the output, the server, the content or the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError, DownloadError
from fal_async.outputs.output_files import OutputFile
from fal_async.protocol.storage.download_names import (
    Arrived,
    check_is_no_page,
    chosen_names,
    disposition_name,
    download_name,
    final_name,
)
from fal_async.protocol.storage.media import local_name

URL = "https://v3.fal.media/files/a/my%20cat.png?token=1"
PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a"
PAGE = b"<!DOCTYPE html><title>Log in</title>"[:32]
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def arrived(
    url: str = URL, headers: Mapping[str, str] | None = None, head: bytes = b"", **said: Any
) -> Arrived:
    return Arrived(url=url, headers=headers or {}, head=head, said=OutputFile(url=url, **said))


def called(url: str = URL, headers: Mapping[str, str] | None = None, head: bytes = b"", **said: Any) -> str:
    return download_name(arrived(url, headers, head, **said))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('attachment; filename="a cat.png"', "a cat.png"),
        ("attachment; filename=cat.png", "cat.png"),
        (r'attachment; filename="a\"b.png"', 'a"b.png'),
        ("attachment; filename*=UTF-8''%e2%82%ac.png; filename=x.png", "€.png"),
        ("attachment; filename=\"x.png\"; filename*=utf-8'en'na%C3%AFve.png", "naïve.png"),
        ("attachment; filename*=none''a%20b", "a b"),
        ("attachment; filename*=idna''caf%C3%A9.png", "café.png"),
        ("attachment; filename*=undefined''a", "a"),
        ("attachment; filename*=zlib''a", "a"),
        ("inline", ""),
        ("", ""),
    ],
)
def test_the_file_name_is_read_from_content_disposition(header: str, expected: str) -> None:
    assert disposition_name(header) == expected


@given(names)
def test_an_encoded_content_disposition_name_is_decoded_unchanged(name: str) -> None:
    printable = "".join(c for c in name if c.isprintable())
    assert disposition_name(f"attachment; filename*=UTF-8''{quote(printable)}x") == printable + "x"


@given(st.text(max_size=200))
def test_any_content_disposition_header_gives_a_safe_name(header: str) -> None:
    name = called(headers={"content-disposition": header})
    assert name == local_name(name)


def test_a_download_is_named_by_the_output_then_the_header_then_the_url() -> None:
    assert called() == "my cat.png"
    assert called(headers={"content-disposition": "attachment; filename=dog.png"}) == "dog.png"
    assert called(file_name="bird.png") == "bird.png"
    assert called("https://x/..%2f..%2fetc%2fpasswd") == "passwd"
    assert called("https://x/") == "file"


@pytest.mark.parametrize(
    ("url", "content_type", "declared", "head", "name"),
    [
        ("https://x/a", "image/png", None, b"", "a.png"),
        ("https://x/a", "application/octet-stream", "image/webp", b"", "a.webp"),
        ("https://x/a", "application/octet-stream", None, PNG, "a.png"),
        ("https://x/a", "image/png", "image/png", JPEG, "a.jpg"),
        ("https://x/a", "audio/mp4", None, b"\0\0\0\x18ftypisom", "a.m4a"),
        ("https://x/a-v1.5", "image/png", None, b"", "a-v1.5.png"),
        ("https://x/a.png", "image/png", "image/png", JPEG, "a.jpg"),
        ("https://x/a.mp4", "video/mp4", None, GIF, "a.gif"),
        ("https://x/a.avif", "", None, b"\0\0\0\x18ftypmif1", "a.avif"),
        ("https://x/a.heic", "", None, b"\0\0\0\x18ftypmif1", "a.heic"),
        ("https://x/a.png", "", None, b"BM", "a.png"),
        ("https://x/a.JPEG", "", None, JPEG, "a.JPEG"),
        ("https://x/a.png", "image/jpeg", None, b"?", "a.png"),
        ("https://x/a.txt", "text/plain", None, b"BM is short for", "a.txt"),
        ("https://x/a.foo", "image/png", None, PNG, "a.foo"),
        ("https://x/a.mkv", "video/webm", None, b"\x1aE\xdf\xa3", "a.mkv"),
        ("data:image/png;base64,x.y", "image/gif", None, GIF, "file.gif"),
    ],
)
def test_the_ending_of_a_downloaded_file_follows_its_content_if_known(
    url: str, content_type: str, declared: str | None, head: bytes, name: str
) -> None:
    assert called(url, {"content-type": content_type}, head, content_type=declared) == name


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, "my cat.png"),
        ("{n}{ext}", "7.png"),
        ("{n:03d}-{name}{ext}", "007-my cat.png"),
        ("frame-{n}", "frame-7.png"),
        ("{name}.jpeg", "my cat.jpeg"),
        ("cat", "cat.png"),
        ("..{n}", "7.png"),
        (lambda file, n: f"{n}-{file.path}", "7-$.png"),
        (lambda *_: "{n}.gif", "{n}.gif"),
        (lambda *_: "../../etc/passwd.txt", "passwd.txt"),
        (lambda *_: "con", "_con.png"),
    ],
)
def test_file_names_chosen_by_the_caller_become_safe_and_get_an_ending(names: Any, expected: str) -> None:
    templates = chosen_names(names, [OutputFile(url=URL)] * 8)
    assert final_name(templates[7], 7, arrived()) == expected


@pytest.mark.parametrize(
    "names",
    [
        "",
        "{key}",
        "{n",
        "{0}",
        "{}",
        "{n:x.y}",
        "{n.real.nothing}",
        "a/{n}",
        "a\\{n}",
        5,
        ["a"],
        lambda *_: None,
        lambda *_: "",
    ],
)
def test_a_names_argument_that_gives_no_file_names_is_refused(names: Any) -> None:
    with pytest.raises(ConfigurationError, match="names"):
        chosen_names(names, [OutputFile(url=URL)])


HTML = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("url", "headers", "head", "declared", "name"),
    [
        (URL, HTML, PAGE, None, None),
        (URL, HTML, b"Moved", None, None),
        (URL, {"content-type": "image/png"}, b"\xef\xbb\xbf\n <HTML lang=en>", None, None),
        ("https://x/a", HTML, PAGE, "video/mp4", None),
        ("https://x/a", HTML, PAGE, None, "cat.png"),
        (URL, {"content-type": "application/problem+json"}, b'{"detail": "gone"}', None, None),
        ("https://x/a.zip", {"content-type": "Application/XHTML+xml"}, b"<?xml", None, None),
        (URL, {"content-type": "application/xml"}, b"<?xml version='1.0'?><Error>", None, None),
    ],
)
def test_a_page_that_arrives_instead_of_another_file_is_refused(
    url: str, headers: dict[str, str], head: bytes, declared: str | None, name: str | None
) -> None:
    with pytest.raises(DownloadError, match=r"sent (an HTML page|JSON|XML) instead of [a-z]+/"):
        check_is_no_page(arrived(url, headers, head, content_type=declared), name)


@pytest.mark.parametrize(
    ("url", "headers", "head", "declared"),
    [
        ("https://x/a.html", HTML, PAGE, None),
        ("https://x/a.svg", {"content-type": "application/xml"}, b"<?xml version='1.0'?><svg>", None),
        ("https://x/a", HTML, PAGE, None),
        ("https://x/a.txt", HTML, PAGE, None),
        ("https://x/a", HTML, PAGE, "text/html"),
        ("https://x/a", HTML, PAGE, "application/octet-stream"),
        (URL, HTML, PNG, None),
        (URL, {"content-type": "text/plain"}, b"<svg", None),
        (URL, {"content-type": "application/json"}, b"?", None),
        ("https://x/a.gltf", {"content-type": "application/json"}, b"{}", None),
        ("https://x/a.json", {"content-type": "application/json"}, b"{}", None),
        (URL, {}, b"", None),
    ],
)
def test_a_page_is_accepted_if_expected_and_other_content_always(
    url: str, headers: dict[str, str], head: bytes, declared: str | None
) -> None:
    check_is_no_page(arrived(url, headers, head, content_type=declared))
