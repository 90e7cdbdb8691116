"""One call of `/_emulator`, as the routes get it, and the rules by which a path finds its route."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fal_async.emulator.core import Call, Core
from fal_async.emulator.downtime import Downtime
from fal_async.emulator.registration import Registration


@attrs.frozen(kw_only=True)
class Order:
    """One call of `/_emulator`.

    Attributes:
        core: the parts of the emulator.
        registration: registers endpoints.
        downtime: pauses and restarts the server.
        call: the HTTP request.
        wanted: its body as JSON; an empty dict without a body.
        name: what the path has in place of the `*` of the route, such as a request id; empty without one.
    """

    core: Core
    registration: Registration
    downtime: Downtime
    call: Call
    wanted: Any
    name: str


Action = Callable[[Order], Any]
"""Returns, or is awaited for, a value to send as JSON, an `Answer`, or a response that is already sent."""
Routes = Mapping[tuple[str, str], Action]
"""Actions by method and path; `*` after the first segment stands for a name, which may have slashes."""


def find(routes: Routes, method: str, path: str) -> tuple[Action, str] | None:
    """Return the action of a path, and the name in it; None for an unknown path."""
    if (action := routes.get((method, path))) is not None:
        return action, ""
    folder, _, name = path.partition("/")
    action = routes.get((method, f"{folder}/*")) if name else None
    return None if action is None else (action, name)
