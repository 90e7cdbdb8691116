"""How the platform API's request history behaves, which is documented only in part (protocol 11.1, 11.10, 12)."""

from __future__ import annotations

from typing import Any

import attrs

FILTERS = ("sent_at", "ended_at")


def _seconds(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} must be 0 or more, not {value}")


def _filter(_: Any, __: Any, value: str) -> None:
    if value not in FILTERS:
        raise ValueError(f"filters_by must be one of {', '.join(FILTERS)}, not {value!r}")


@attrs.define(kw_only=True)
class RequestHistory:
    """`Emulator(history=RequestHistory(...))`, and `emulator.history`, whose fields a test may set at any time.

    lag             seconds (real ones) until a request is listed, and until it is listed as ended
    only_ended      True: what waits or runs is not listed
    payloads        False: the account stores no inputs and outputs, as by its setting at fal
    permitted       False: the key may not read requests; the platform API answers 403
    filters_by      which time `start` and `end` filter: "sent_at" (default) or "ended_at", of which what has not
                    ended has none; fal does not say
    clock_ahead     seconds that the platform's clock is ahead of this machine's, or behind it (below 0): in the
                    `Date` header of its answers, and in all times of the history
    """

    lag: float = attrs.field(default=0.0, validator=_seconds)
    only_ended: bool = False
    payloads: bool = True
    permitted: bool = True
    filters_by: str = attrs.field(default="sent_at", validator=_filter)
    clock_ahead: float = 0.0
