"""Encodes messages into realtime frames, and decodes them, by default with msgpack (protocol 6.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fal_async.errors import ConfigurationError, RealtimeError
from fal_async.protocol.json_input import plain_value
from fal_async.protocol.realtime import Control, control_of, may_be_control, read_text
from fal_async.protocol.storage.input_files import File

Encode = Callable[[Any], bytes | str]
"""Converts a message into a frame: `bytes` for a binary frame, `str` for a text frame."""
Decode = Callable[[Any], Any]
"""Converts a frame into a message. It gets `bytes` for a binary frame, `str` for a text frame."""


class Codec:
    """Encodes and decodes the messages of a connection. ConfigurationError if msgpack is needed and missing."""

    def __init__(self, encode: Encode | None, decode: Decode | None) -> None:
        self._own_decode = decode is not None
        if encode is None or decode is None:
            packed, unpacked = _msgpack()
            encode, decode = encode or packed, decode or unpacked
        self._encode, self._decode = encode, decode

    def encode(self, message: Any) -> bytes | str:
        """Return the frame of a message. ConfigurationError if it can't be encoded."""
        try:
            data = self._encode(message)
            if isinstance(data, str):
                data.encode()  # a text frame is UTF-8: for lone surrogates, this raises
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ConfigurationError(f"the message can't be encoded: {error}") from error
        if not isinstance(data, bytes | str):
            raise ConfigurationError(f"encode= returned a {type(data).__name__}: expected bytes or str")
        return data

    def read(self, frame: bytes | str) -> tuple[Control | None, Any]:
        """Return (control frame, None) or (None, message). RealtimeError if the frame can't be decoded."""
        if isinstance(frame, str) and not self._own_decode:
            return read_text(frame)
        if isinstance(frame, str) and may_be_control(frame):
            control, _ = read_text(frame)
            if control is not None:
                return control, None
        try:
            value = self._decode(frame)
        except Exception as error:
            kind = "text" if isinstance(frame, str) else "binary"
            raise RealtimeError(
                f"a {kind} frame of {len(frame)} bytes can't be decoded: {type(error).__name__}",
                error="UNDECODABLE",
            ) from error
        return control_of(value), value


def _msgpack() -> tuple[Encode, Decode]:
    try:
        import msgpack
    except ImportError as error:
        raise ConfigurationError(
            "realtime needs msgpack: pip install 'fal-async[realtime]', or pass encode= and decode="
        ) from error

    # `packb` is faster here than one `Packer` for all messages. It frees its buffer each time, and then glibc stops
    # requesting and returning memory for each read (measured: 40 microseconds of system time less per message).
    encode = partial(msgpack.packb, default=_plain)
    return encode, partial(msgpack.unpackb, strict_map_key=False)


def _plain(value: Any) -> Any:
    # `plain_value` would treat a File as an ordinary record.
    if isinstance(value, File):
        raise TypeError("a File: send its bytes, or the URL that storage.upload returns")
    return plain_value(value)
