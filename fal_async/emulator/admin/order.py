"""One call of `/_emulator`, as the routes get it, and the rules by which a path finds its route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from fal_async.emulator.core import Call, Core, ScopeParts
from fal_async.emulator.downtime import Downtime
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.registration import Registration
from fal_async.emulator.wire.recorder import Recorder


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

    @property
    def scope(self) -> ScopeParts | None:
        """The scope that the query names; None without one. KeyError if it is not open."""
        name = self.call.query.get("scope")
        return None if name is None else scope_named(self.core, name)

    @property
    def faults(self) -> FaultScript:
        """The faults of the scope that the query names; without one, those of the emulator."""
        return self.core.faults if self.scope is None else self.scope.faults

    @property
    def recorder(self) -> Recorder:
        """The recorder of the scope that the query names; without one, that of the emulator."""
        return self.core.recorder if self.scope is None else self.scope.recorder

    @property
    def books(self) -> Books:
        """The books of the scope that the query names; without one, those of the emulator."""
        return self.core.jobs.books if self.scope is None else self.scope.books

    @property
    def jobs(self) -> Iterable[Job]:
        """The jobs of the scope that the query names; without one, all."""
        return self.core.jobs if self.scope is None else self.core.jobs.of(self.scope.account).values()


def scope_named(core: Core, name: str) -> ScopeParts:
    """Return an open scope. Raise KeyError if there is none of this name."""
    if name not in core.scopes:
        raise KeyError(f"scope {name}")
    return core.scopes[name]


Action = Callable[[Order], Any]
"""Returns, or is awaited for, a value to send as JSON, an `Answer`, or a response that is already sent."""
OF_SCOPES = frozenset(
    {
        *((method, path) for method in ("GET", "DELETE") for path in ("faults", "requests")),
        *(("GET", path) for path in ("", "jobs", "books", "books/inputs", "files", "uploads", "webhooks")),
        *(("POST", path) for path in ("faults", "seed", "webhooks/automatic")),
    }
)
"""The calls whose query may name a scope."""
Routes = Mapping[tuple[str, str], Action]
"""Actions by method and path; `*` after the first segment stands for a name, which may have slashes."""


def find(routes: Routes, method: str, path: str) -> tuple[Action, str] | None:
    """Return the action of a path, and the name in it; None for an unknown path."""
    if (action := routes.get((method, path))) is not None:
        return action, ""
    folder, _, name = path.partition("/")
    action = routes.get((method, f"{folder}/*")) if name else None
    return None if action is None else (action, name)
