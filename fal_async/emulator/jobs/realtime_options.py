"""Options of an endpoint in realtime sessions, as the server framework has them (protocol 6.4)."""

from __future__ import annotations

from typing import Any

import attrs

CODECS = ("msgpack", "json")


def _codec(_: Any, __: attrs.Attribute[Any], value: str) -> None:
    if value not in CODECS:
        raise ValueError(f"codec={value!r}: expected one of {', '.join(CODECS)}")


def _positive(_: Any, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"{attribute.name}={value!r}: expected a number > 0")


@attrs.frozen(kw_only=True)
class RealtimeOptions:
    """How an endpoint behaves in realtime sessions (protocol 6.4).

    Pass it as `emulator.endpoint(..., realtime=RealtimeOptions(...))`. A bad value raises ValueError.

    Attributes:
        buffering: how many inputs wait at most. When one more arrives, the oldest is deleted. `max_buffering` in
            the URL takes precedence. None (default): no limit.
        session_timeout: seconds without input after which the session ends with TIMEOUT. None (default): no limit.
        max_batch_size: if above 1, the function gets a list of up to this many waiting inputs and returns one
            answer for all of them; default 1.
        timings: whether a timings frame follows each answer (protocol 6.3); default False.
        codec: "msgpack" (default) accepts binary frames only, "json" accepts text frames and JSON in binary ones.
        client_streaming: whether the function is called once per session, with an async iterator over all inputs;
            default False: it is called once per input or batch.
    """

    buffering: int | None = attrs.field(default=None, validator=_positive)
    session_timeout: float | None = attrs.field(default=None, validator=_positive)
    max_batch_size: int = attrs.field(default=1, validator=_positive)
    timings: bool = False
    codec: str = attrs.field(default="msgpack", validator=_codec)
    client_streaming: bool = False
