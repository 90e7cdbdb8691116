"""How the platform API's request history behaves, which fal documents only in part (protocol 11.1, 11.10, 12)."""

from __future__ import annotations

from typing import Any

import attrs

FILTERS = ("sent_at", "ended_at")


def _seconds(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name}={value}: expected seconds >= 0")


def _filter(_: Any, __: Any, value: str) -> None:
    if value not in FILTERS:
        raise ValueError(f"filters_by={value!r}: expected one of {', '.join(FILTERS)}")


@attrs.define(kw_only=True)
class RequestHistory:
    """What the request history of the platform API shows, and when (protocol 11.1, 11.10).

    Pass it as `Emulator(history=RequestHistory(...))`. A test may change the fields of `emulator.history` at any
    time. A bad value raises ValueError.

    Attributes:
        lag: real seconds until a request is listed, and again until it is listed as ended; default 0.
        only_ended: True lists no waiting or running requests; default False.
        payloads: False leaves inputs and outputs out, as an account's setting does on fal; default True.
        permitted: False answers 403, as for a key that may not read requests; default True.
        filters_by: the time that `start` and `end` filter by, "sent_at" (default) or "ended_at"; a request that
            has not ended has no "ended_at". fal does not document which.
        clock_ahead: seconds by which the platform's clock is ahead of this machine's, or behind it if negative: in
            the `Date` header of its answers and in all times of the history; default 0.
    """

    lag: float = attrs.field(default=0.0, validator=_seconds)
    only_ended: bool = False
    payloads: bool = True
    permitted: bool = True
    filters_by: str = attrs.field(default="sent_at", validator=_filter)
    clock_ahead: float = 0.0
