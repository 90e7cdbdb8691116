"""Images as pixels: the size of any common image, and PNGs that are read, magnified and cut out.

Only PNGs like the emulator's own are read: 8 bits, RGB with or without alpha, rows unfiltered or of filter "up".
Of other images, only the size is known.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import sqrt
from operator import itemgetter

import attrs

from fal_async.emulator.builtin.painting import encoded

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}
"""By PNG's colour type."""
_FILTERS = (0, 2)
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Segments of a JPEG that have its size."""
_SUBJECT = 0.8
"""The part of width and height that a cut-out keeps."""


def size_in_pixels(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG, GIF, WebP or JPEG; None if it is none of them."""
    try:
        if data.startswith(_PNG):
            return struct.unpack(">II", data[16:24])
        if data.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack("<HH", data[6:10])
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        return _jpeg_size(data) if data.startswith(b"\xff\xd8") else None
    except (struct.error, IndexError):
        return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        if data[at + 1] in _SOF:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


@attrs.frozen
class Pixels:
    """An image as rows of bytes, of 3 or 4 channels."""

    width: int
    height: int
    channels: int
    rows: list[bytes] = attrs.field(repr=False)

    def magnified(self, width: int, height: int) -> Pixels:
        """Return the image in another size: each pixel is the nearest one of the image."""
        columns = [x * self.width // width for x in range(width)]
        take = itemgetter(*(self.channels * x + c for x in columns for c in range(self.channels)))
        lines: dict[int, bytes] = {}
        for y in range(height):
            source = y * self.height // height
            if source not in lines:
                lines[source] = bytes(take(self.rows[source]))
        rows = [lines[y * self.height // height] for y in range(height)]
        return Pixels(width, height, self.channels, rows)

    def cut_out(self) -> Pixels:
        """Return the image with alpha: an ellipse in its middle is opaque."""
        rows: list[bytes] = []
        for row, mask in zip(self.rows, self._masks(), strict=True):
            pixels = bytearray(4 * self.width)
            for channel in range(3):
                pixels[channel::4] = row[channel :: self.channels]
            pixels[3::4] = mask
            rows.append(bytes(pixels))
        return Pixels(self.width, self.height, 4, rows)

    def mask(self) -> Pixels:
        """Return the mask of `cut_out` as an image, white where it is opaque."""
        rows = [b"".join(mask[x : x + 1] * 3 for x in range(self.width)) for mask in self._masks()]
        return Pixels(self.width, self.height, 3, rows)

    def _masks(self) -> Iterator[bytes]:
        """Yield the alpha of each row."""
        for y in range(self.height):
            share = ((2 * y + 1) / self.height - 1) / _SUBJECT
            half = round(self.width / 2 * _SUBJECT * sqrt(max(0.0, 1 - share * share)))
            left = self.width // 2 - half
            yield (bytes(left) + b"\xff" * (2 * half)).ljust(self.width, b"\0")[: self.width]

    def png(self) -> bytes:
        """Encode the image. A row that is equal to the one above takes almost no bytes."""
        above, lines, equal = b"", list[bytes](), b"\x02" + bytes(self.channels * self.width)
        for row in self.rows:
            lines.append(equal if row == above else b"\x00" + row)
            above = row
        return encoded(self.width, self.height, b"".join(lines), alpha=self.channels == 4)


def read_png(data: bytes) -> Pixels | None:
    """Return the pixels of a PNG like the emulator's own; None for other images and for damaged ones."""
    try:
        width, height, depth, colour, *more = struct.unpack(">IIBBBBB", data[16:29])
        channels = _CHANNELS.get(colour)
        if not data.startswith(_PNG) or depth != 8 or channels is None or any(more):
            return None
        raw = zlib.decompress(b"".join(_chunks(data)))
    except (struct.error, zlib.error):
        return None
    size = channels * width + 1
    lines = [raw[at : at + size] for at in range(0, size * height, size)]
    if len(raw) != size * height or any(line[0] not in _FILTERS for line in lines):
        return None
    return Pixels(width, height, channels, list(_unfiltered(lines)))


def _chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            yield data[at + 8 : at + 8 + size]
        at += 12 + size


def _unfiltered(lines: list[bytes]) -> Iterator[bytes]:
    """Yield rows. Of filter "up", each byte is a difference to the byte above: rows are added as big integers."""
    size = len(lines[0]) - 1
    top = int.from_bytes(b"\x80" * size)
    above = 0
    for line in lines:
        row = int.from_bytes(line[1:])
        if line[0]:
            # Without the top bits nothing is carried into the next byte; they are added without a carry.
            row = ((row & ~top) + (above & ~top)) ^ ((row ^ above) & top)
        yield row.to_bytes(size)
        above = row
