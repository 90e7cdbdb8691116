"""`/_emulator/scopes`: scopes for tests in other processes and languages."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.admin.order import Order, Routes, scope_named
from fal_async.emulator.core import ScopeParts
from fal_async.emulator.jobs.job import COMPLETED
from fal_async.emulator.scopes.life import close_scope, open_scope
from fal_async.emulator.verification import NOTHING, Evidence, Verification
from fal_async.emulator.wire.answers import Answer, json_answer, request_error

_CHECKS = Verification(endpoints=False)
"""An endpoint belongs to no scope."""


def _scopes(order: Order) -> list[dict[str, Any]]:
    return [_scope(order, parts) for parts in order.core.scopes.values()]


def _scope(order: Order, parts: ScopeParts) -> dict[str, Any]:
    """Return how clients use a scope, what runs in it, and what `Scope.verify` would report."""
    core, url = order.core, order.call.origin
    jobs = core.jobs.of(parts.account)
    return {
        "name": parts.account.nickname,
        "key": parts.account.key,
        "url": url,
        "env": {"FAL_BASE_URL": url, "FAL_KEY": parts.account.key},
        "counts": parts.recorder.counts(),
        "jobs": len(jobs),
        "running": [job.request_id for job in jobs.values() if job.state != COMPLETED],
        "faults": len(parts.faults),
        "faults_struck": parts.faults.struck,
        "problems": _CHECKS.problems(Evidence.of(core, parts), NOTHING, named=False),
    }


def _open(order: Order) -> Answer:
    """Read `{"name"?, "key"?}`."""
    wanted = order.wanted
    if not isinstance(wanted, dict):
        raise ValueError("expected a JSON object with name and key, or no body")
    if unknown := sorted(set(wanted) - {"name", "key"}):
        raise ValueError(f"{', '.join(unknown)}: expected only name and key")
    for name, value in wanted.items():
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name}={value!r}: expected a str, or null")
    parts = open_scope(order.core, wanted.get("name"), wanted.get("key"))
    return json_answer(_scope(order, parts), 201)


def _one(order: Order) -> dict[str, Any] | Answer:
    if order.name not in order.core.scopes:
        return request_error(404, f"no scope {order.name} is open")
    return _scope(order, scope_named(order.core, order.name))


def _close(order: Order) -> dict[str, Any] | Answer:
    """Close a scope, and return its last state; the requests in `running` are cancelled."""
    last = _one(order)
    if not isinstance(last, Answer):
        close_scope(order.core, scope_named(order.core, order.name))
    return last


ROUTES: Routes = {
    ("GET", "scopes"): _scopes,
    ("POST", "scopes"): _open,
    ("GET", "scopes/*"): _one,
    ("DELETE", "scopes/*"): _close,
}
