"""States by number of status requests, in place of time: `Emulator.endpoint(polls=Polls(queued=2, running=1))`."""

from __future__ import annotations

from typing import Any

import attrs


def _check_count(_: object, field: attrs.Attribute[int], value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"Polls({field.name}={value!r}): expected an int >= 0")


@attrs.frozen(kw_only=True)
class Polls:
    """How often a request in the queue is seen in each state, by its status requests.

    A status request, or an event of a status stream, is one look. After `queued` and `running` looks, the next one
    sees COMPLETED.

    Attributes:
        queued: how many looks see IN_QUEUE; default 1.
        running: how many looks see IN_PROGRESS; default 1.
    """

    queued: int = attrs.field(default=1, validator=_check_count)
    running: int = attrs.field(default=1, validator=_check_count)
