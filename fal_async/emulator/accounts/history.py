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
        lag: real seconds from a submit until the history lists the request, and from its completion until the
            history lists it as ended, and usage, analytics and billing events count it; default 0.
        only_ended: whether only ended requests are listed; default False: waiting and running ones, too.
        payloads: whether the history shows inputs and outputs, which a setting of an account on fal switches off;
            default True.
        permitted: whether keys may read the history; default True. If False, they get 403.
        filters_by: the time to which `start` and `end` refer, "sent_at" (default) or "ended_at"; a request that has
            not ended has no "ended_at". fal does not document which one it uses.
        clock_ahead: seconds by which the platform API's clock is ahead of this machine's, negative if it is behind;
            default 0. It sets the `Date` header of answers and all times of the history.
    """

    lag: float = attrs.field(default=0.0, validator=_seconds)
    only_ended: bool = False
    payloads: bool = True
    permitted: bool = True
    filters_by: str = attrs.field(default="sent_at", validator=_filter)
    clock_ahead: float = 0.0
