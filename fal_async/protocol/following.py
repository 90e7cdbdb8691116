"""How a request is followed, as a value that is checked when it is made."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from fal_async.checks import check_seconds
from fal_async.errors import ConfigurationError

Mode = Literal["polling", "streaming", "auto"]
"""How a request is followed. "polling": status requests, paced by what the session knows of the endpoint.
"streaming": one connection on which fal tells the news at once; it counts against the session's connections,
and where none is left, or fal refuses, polls stand in. "auto": the same, without a warning then, and with
polls where they do as well: for an endpoint that is known to be done almost at once."""
SubscribeMode = Literal["polling", "streaming", "auto", "webhook"]
"""Also "webhook": fal calls the receiver that is attached to the session (`fal.webhooks.attach`), and slow
polls stand in for a delivery that is lost."""
MODES = ("polling", "streaming", "auto")


def _check_interval(_: Any, __: Any, seconds: float | None) -> None:
    if seconds is not None:
        check_seconds("poll_interval", seconds)


def _check_mode(_: Any, __: Any, mode: str) -> None:
    if mode not in MODES:
        raise ConfigurationError(
            f"mode={mode!r}: expected one of {', '.join(MODES)}, or of subscribe webhook"
        )


@attrs.define(kw_only=True, eq=False)
class Following:
    """How one request is followed.

    Attributes:
        logs: whether log entries are asked for; default False.
        mode: see `Mode`; default "polling".
        poll_interval: seconds between polls; None for the pace that adapts to the endpoint.

    Raises:
        ConfigurationError: an unknown mode, or an interval that is not a positive number of seconds.
    """

    logs: bool = False
    mode: Mode = attrs.field(default="polling", validator=_check_mode)
    poll_interval: float | None = attrs.field(default=None, validator=_check_interval)
