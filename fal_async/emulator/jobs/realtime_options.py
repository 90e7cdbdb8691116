"""An endpoint in a realtime session: what the server framework lets an app choose (protocol 6.4)."""

from __future__ import annotations

from typing import Any

import attrs

CODECS = ("msgpack", "json")


def _codec(_: Any, __: attrs.Attribute[Any], value: str) -> None:
    if value not in CODECS:
        raise ValueError(f"codec={value!r}: expected one of {', '.join(CODECS)}")


def _positive(_: Any, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"{attribute.name}={value!r}: expected more than 0")


@attrs.frozen(kw_only=True)
class RealtimeOptions:
    """For `emulator.endpoint(..., realtime=RealtimeOptions(...))`."""

    buffering: int | None = attrs.field(default=None, validator=_positive)
    """So many inputs wait; then the oldest is dropped. `max_buffering` in the URL wins. None: no limit."""
    session_timeout: float | None = attrs.field(default=None, validator=_positive)
    """Seconds without input after which the session ends with TIMEOUT. None: never."""
    max_batch_size: int = attrs.field(default=1, validator=_positive)
    """Over 1, the function gets a list of up to so many waiting inputs, and gives one answer for all."""
    timings: bool = False
    """A timings frame after each answer (protocol 6.3)."""
    codec: str = attrs.field(default="msgpack", validator=_codec)
    """"msgpack": binary frames only. "json": text frames, and JSON in binary ones."""
    client_streaming: bool = False
    """The function gets one async iterator over all inputs of the session, not each input by itself."""
