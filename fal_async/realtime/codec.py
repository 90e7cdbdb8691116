"""From messages to realtime frames and back: msgpack unless told otherwise (protocol 6.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fal_async.errors import ConfigurationError, RealtimeError
from fal_async.protocol.json_input import plain_value
from fal_async.protocol.realtime import Control, control_of, may_be_control, read_text
from fal_async.protocol.storage.input_files import File

Encode = Callable[[Any], bytes | str]
"""From a message to a binary frame, or to a text frame where it gives `str`."""
Decode = Callable[[Any], Any]
"""From a frame's `bytes` (or `str`, of a text frame) to a message."""


class Codec:
    """ConfigurationError where msgpack is needed and missing."""

    def __init__(self, encode: Encode | None, decode: Decode | None) -> None:
        self._own_decode = decode is not None
        if encode is None or decode is None:
            packed, unpacked = _msgpack()
            encode, decode = encode or packed, decode or unpacked
        self._encode, self._decode = encode, decode

    def encode(self, message: Any) -> bytes | str:
        """ConfigurationError where the message can't be encoded."""
        try:
            data = self._encode(message)
            if isinstance(data, str):
                data.encode()  # a text frame is UTF-8: no half surrogate pairs
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ConfigurationError(f"the message can't be encoded: {error}") from error
        if not isinstance(data, bytes | str):
            raise ConfigurationError(f"encode= gave a {type(data).__name__}: expected bytes or str")
        return data

    def read(self, frame: bytes | str) -> tuple[Control | None, Any]:
        """A control frame, or None and a message. RealtimeError where it can't be decoded."""
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
            "realtime speaks msgpack: pip install 'fal-async[realtime]', or pass encode= and decode="
        ) from error

    # Not one `Packer` for all messages: `packb` frees its buffer each time, after which glibc stops fetching
    # and returning the memory of each read (measured: 40 microseconds of system time a message).
    encode = partial(msgpack.packb, default=_plain)
    return encode, partial(msgpack.unpackb, strict_map_key=False)


def _plain(value: Any) -> Any:
    # A record as any other to `plain_value`, and no model's input.
    if isinstance(value, File):
        raise TypeError("a File: send its bytes, or the URL that storage.upload gives")
    return plain_value(value)
