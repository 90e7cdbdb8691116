from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from fal_async import ConfigurationError, UploadError, encode, encode_file, encode_image
from fal_async.protocol.storage.media import parse_data_uri
from tests.storage.pictures import PNG


def test_encode_makes_a_data_uri_of_bytes_and_str_and_refuses_other_values() -> None:
    assert encode(PNG) == "data:image/png;base64,iVBORw0KGgo="
    assert parse_data_uri(encode(b"x")) == (b"x", "application/octet-stream")
    assert parse_data_uri(encode("grün")) == ("grün".encode(), "text/plain;charset=utf-8")
    assert parse_data_uri(encode(b"x", "image/gif")) == (b"x", "image/gif")
    with pytest.raises(ConfigurationError, match="content_type"):
        encode(b"x", "gif")
    with pytest.raises(ConfigurationError, match="data is of type int"):
        encode(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="image is of type bytes"):
        encode_image(b"x")


def test_encode_file_makes_a_data_uri_and_refuses_paths_that_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(b"x")
    assert parse_data_uri(encode_file(tmp_path / "a.webp")) == (b"x", "image/webp")
    for path in (tmp_path / "b", tmp_path, "a\0b"):
        with pytest.raises(UploadError, match="can't be read"):
            encode_file(path)
    with pytest.raises(ConfigurationError, match="path is of type int: expected a path"):
        encode_file(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("format", ["png", "jpeg", "jpg", "JPG", "webp", "gif", "bmp", "tiff"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_encode_image_supports_every_common_mode_in_every_format(format: str, mode: str) -> None:
    """The official client fails on RGBA as JPEG, and on the name "jpg" (field notes B35)."""
    data, kind = parse_data_uri(encode_image(Image.new(mode, (4, 4)), format))
    assert kind == f"image/{'jpeg' if format.lower() == 'jpg' else format}"
    assert Image.open(io.BytesIO(data)).size == (4, 4)


def test_encode_image_makes_transparent_pixels_white_in_a_jpeg() -> None:
    data, _ = parse_data_uri(encode_image(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "jpeg"))
    assert Image.open(io.BytesIO(data)).getpixel((0, 0)) == (255, 255, 255)


def test_encode_image_refuses_an_unknown_format() -> None:
    with pytest.raises(ConfigurationError, match="format='psd'"):
        encode_image(Image.new("RGB", (1, 1)), "psd")
