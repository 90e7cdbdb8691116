from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError
from fal_async.protocol.storage.media import (
    MAX_NAME,
    check_content_type,
    data_uri,
    guess_content_type,
    header_name,
    local_name,
    numbered,
    parse_data_uri,
    plain_name,
    suffix_for,
)

names = st.text(st.characters(), max_size=300)


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.PNG", b"", "image/png"),
        ("a.webp", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("a.png", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a.jpg", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        ("a.jpg", b"\0\0\0\x20ftypheic", "image/heic"),
        ("a.mp3", b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        ("a.txt", b"%PDF-1.7", "application/pdf"),
        ("a.png", b"no picture", "image/png"),
        ("a.txt", b"BMW is a car", "text/plain"),
        ("a.csv", b"ID3,name", "text/csv"),
        ("a.aac", b"ID3\x04", "audio/aac"),
        ("a.m4a", b"\0\0\0\x20ftypisom", "audio/mp4"),
        ("a.mov", b"\0\0\0\x20ftypmp42", "video/quicktime"),
        ("a.mkv", b"\x1aE\xdf\xa3", "video/x-matroska"),
        ("a.opus", b"OggS", "audio/ogg"),
        ("noending", b"\x89PNG\r\n\x1a\n", "image/png"),
        (None, b"\xff\xd8\xff\xe0", "image/jpeg"),
        (None, b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (None, b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (None, b"\0\0\0\x20ftypisom", "video/mp4"),
        (None, b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (None, b"\0\0\0\x20ftypqt  ", "video/quicktime"),
        ("a.unknown", b"glTF", "model/gltf-binary"),
        ("png", b"", "application/octet-stream"),
        (None, b"", "application/octet-stream"),
    ],
)
def test_the_content_type_follows_the_name_unless_the_content_clearly_differs(
    name: str | None, head: bytes, expected: str
) -> None:
    assert guess_content_type(name, head) == expected


def test_the_suffix_of_a_content_type_ignores_case_and_parameters() -> None:
    assert suffix_for("image/jpeg; charset=x") == ".jpg"
    assert suffix_for("IMAGE/PNG") == ".png"
    assert suffix_for("nonsense") == ""


@pytest.mark.parametrize("value", ["image", "image/png\r\nX: y", "", "a/b/c", "image/png, text/html"])
def test_a_malformed_content_type_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="content_type"):
        check_content_type(value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my cat (1).png", "my cat (1).png"),
        ("Zürich.png", "Zurich.png"),
        ("日本.png", "file.png"),
        ("a日本b.png", "a_b.png"),
        ("..", "file"),
        ("", "file"),
        ("/etc/passwd", "passwd"),
        ("C:\\temp\\x.png", "x.png"),
        ("a\r\nX-Evil: 1.png", "aX-Evil_ 1.png"),
        ("%2e%2e.png", "2e_2e.png"),
    ],
)
def test_a_file_name_for_a_header_is_reduced_to_ascii(name: str, expected: str) -> None:
    assert header_name(name) == expected


@given(names)
def test_any_file_name_becomes_safe_for_a_header(name: str) -> None:
    safe = header_name(name)
    assert safe
    assert safe.isascii()
    assert safe.isprintable()
    assert not set(safe) & set('/\\"%;,\r\n')
    assert header_name(safe) == safe


@given(names)
@example(".\xa00")
@example("0\u2003. .")
def test_any_file_name_becomes_safe_on_disk(name: str) -> None:
    safe = local_name(name)
    assert safe
    assert safe not in (".", "..")
    assert not set(safe) & set('/\\\0<>:"|?*')
    assert len(safe.encode()) <= MAX_NAME + 1
    assert safe == safe.strip(" .")
    assert local_name(safe) == safe


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\x", "/abs", "a/../..", "con.txt", "NUL", "..."]
)
def test_a_file_name_with_a_path_or_a_reserved_word_becomes_a_plain_name(name: str) -> None:
    safe = local_name(name)
    assert safe == safe.replace("\\", "/").rpartition("/")[2]
    assert safe.lower() not in ("con.txt", "nul")


def test_a_long_file_name_is_cut_and_keeps_its_ending() -> None:
    assert plain_name("ä" * 300 + ".png").endswith("ä.png")
    assert len(plain_name("ä" * 300 + ".png").encode()) <= MAX_NAME
    assert len(plain_name("x" * 300).encode()) == MAX_NAME


def test_the_number_of_a_file_is_put_before_its_ending() -> None:
    assert [numbered("cat.tar.gz", n) for n in (1, 2, 3)] == ["cat.tar.gz", "cat.tar-2.gz", "cat.tar-3.gz"]
    assert numbered("noending", 2) == "noending-2"
    assert numbered(".hidden", 2) == ".hidden-2"


@given(st.binary(max_size=200))
def test_a_data_uri_is_parsed_to_the_same_bytes_and_type(data: bytes) -> None:
    assert parse_data_uri(data_uri(data, "image/png")) == (data, "image/png")


@given(st.binary(max_size=50))
def test_data_uris_in_other_spellings_are_parsed(data: bytes) -> None:
    loose = base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert parse_data_uri(f"DATA:image/png;BASE64,{loose}") == (data, "image/png")
    assert parse_data_uri(f"data:,{quote(data)}")[0] == data


@pytest.mark.parametrize("uri", ["", "data:", "http://x", "data:image/png;base64,*", "data:;base64,a"])
def test_a_malformed_data_uri_raises_value_error(uri: str) -> None:
    with pytest.raises(ValueError, match="data URI"):
        parse_data_uri(uri)


@given(st.text(max_size=60))
def test_any_text_is_parsed_as_a_data_uri_or_raises_value_error(text: str) -> None:
    try:
        data, _ = parse_data_uri("data:" + text)
    except ValueError:
        return
    assert isinstance(data, bytes)
