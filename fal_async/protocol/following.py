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
limit; if no connection is free or fal refuses, the session warns and polls instead.
"auto": as "streaming" but without the warning, and polling if the endpoint is known to finish almost at once.
"""
SubscribeMode = Literal["polling", "streaming", "auto", "webhook"]
"""Also "webhook": fal calls the receiver attached to the session (`fal.webhooks.attach`). Slow polls make up for
a lost delivery."""
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
        poll_interval: seconds between polls; None (the default) adapts the pace to the endpoint.

    Raises:
        ConfigurationError: the mode is unknown, or the interval is not a positive number of seconds.
    """

    logs: bool = False
    mode: Mode = attrs.field(default="polling", validator=_check_mode)
    poll_interval: float | None = attrs.field(default=None, validator=_check_interval)
