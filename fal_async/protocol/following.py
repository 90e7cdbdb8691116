"""How a request is followed: a value that is checked when it is created."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from fal_async.checks import check_seconds
from fal_async.errors import ConfigurationError

Mode = Literal["polling", "streaming", "auto"]
"""How a request is followed.

"polling": status requests, paced by what the session knows about the endpoint.
"streaming": one connection on which fal sends each change at once. It counts against the session's connection
limit. If no connection is free or fal refuses the stream, the session logs a warning and polls instead.
"auto": as "streaming" but without the warning; endpoints that are known to complete almost at once are polled.
"""
SubscribeMode = Literal["polling", "streaming", "auto", "webhook"]
"""A `Mode`, or "webhook": fal calls the receiver that is attached to the session (`fal.webhooks.attach`).

Slow polls find the result even if the delivery is lost."""
MODES = ("polling", "streaming", "auto")


def _check_interval(_: Any, __: Any, seconds: float | None) -> None:
    if seconds is not None:
        check_seconds("poll_interval", seconds)


def _check_mode(_: Any, __: Any, mode: str) -> None:
    if mode not in MODES:
        raise ConfigurationError(
            f"mode={mode!r}: expected one of {', '.join(MODES)} (subscribe also accepts webhook)"
        )


@attrs.define(kw_only=True, eq=False)
class Following:
    """How one request is followed.

    Attributes:
        logs: whether to request log entries; default False.
        mode: see `Mode`; default "polling".
        poll_interval: seconds between polls. None (default): depends on the run times of the endpoint.

    Raises:
        ConfigurationError: the mode is unknown, or the interval is not a positive number of seconds.
    """

    logs: bool = False
    mode: Mode = attrs.field(default="polling", validator=_check_mode)
    poll_interval: float | None = attrs.field(default=None, validator=_check_interval)
