"""What was set, and what callers have stored by name: small records of many kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.accounts.history import RequestHistory
from fal_async.emulator.accounts.prices import Price
from fal_async.emulator.accounts.workflow_store import Workflow
from fal_async.emulator.core import Core
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.jobs.books import Line
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.state.saved_bodies import SavedAnswer, answer_of, saved_answer
from fal_async.emulator.workflows.workflow_endpoint import serve_workflow


@attrs.frozen(kw_only=True)
class SavedClock:
    """The time, and from when to when it was moved by hand: both in seconds since the epoch."""

    now: float
    moved_by_hand: list[tuple[float, float]]


def take_clock(core: Core) -> SavedClock:
    return SavedClock(now=core.clock.now(), moved_by_hand=core.clock.moved_by_hand())


def put_clock(core: Core, saved: SavedClock) -> None:
    core.clock.resume(saved.now, saved.moved_by_hand)


@attrs.frozen(kw_only=True)
class SavedBooks:
    """The accepted requests by input, and how many were accepted, have ended, and have failed."""

    accepted: int
    ended: int
    failed: int
    lines: list[Line] = attrs.field(factory=list)


def take_books(core: Core) -> SavedBooks:
    jobs = core.jobs
    return SavedBooks(
        accepted=jobs.accepted, ended=jobs.ended_count, failed=jobs.failed_count, lines=list(jobs.books)
    )


def put_books(core: Core, saved: SavedBooks) -> None:
    jobs = core.jobs
    jobs.accepted, jobs.ended_count, jobs.failed_count = saved.accepted, saved.ended, saved.failed
    for line in saved.lines:
        jobs.books.restore(line)


@attrs.frozen(kw_only=True)
class SavedFault:
    """A fault, how often it still applies (None: without a limit), and how many calls it still skips."""

    fault: dict[str, Any]
    left: int | None
    skip: int


@attrs.frozen(kw_only=True)
class SavedFaults:
    struck: int = 0
    faults: list[SavedFault] = attrs.field(factory=list)


def take_faults(core: Core) -> SavedFaults:
    return SavedFaults(
        struck=core.faults.struck, faults=[SavedFault(**entry) for entry in core.faults.state()]
    )


def put_faults(core: Core, saved: SavedFaults) -> None:
    core.faults.struck = saved.struck
    for one in saved.faults:
        core.faults.restore(Fault.from_json(one.fault), left=one.left, skip=one.skip)


def take_prices(core: Core) -> dict[str, Price]:
    return dict(core.prices.by_id)


def put_prices(core: Core, saved: dict[str, Price]) -> None:
    """Set the prices; those that were removed have none."""
    core.prices.by_id.clear()
    core.prices.by_id.update(saved)


def take_workflows(core: Core) -> list[Workflow]:
    return list(core.workflows)


def put_workflows(core: Core, saved: list[Workflow]) -> None:
    for workflow in saved:
        serve_workflow(core, workflow, listed=False)


@attrs.frozen(kw_only=True)
class SavedText:
    """A text of kv.fal.media."""

    account: str
    database: str
    key: str
    value: str
    expires_at: float


def take_key_values(core: Core) -> list[SavedText]:
    return [
        SavedText(account=account, database=database, key=key, value=value, expires_at=expires_at)
        for (account, database, key), (value, expires_at) in core.key_values.values.items()
    ]


def put_key_values(core: Core, saved: list[SavedText]) -> None:
    for one in saved:
        core.key_values.set((one.account, one.database, one.key), one.value, one.expires_at)


@attrs.frozen(kw_only=True)
class SavedRepeat:
    """An answer that is given again to the same `Idempotency-Key`."""

    account: str
    path: str
    key: str
    until: float
    answer: SavedAnswer


def take_repeats(core: Core) -> list[SavedRepeat]:
    return [
        SavedRepeat(account=account, path=path, key=key, until=until, answer=saved_answer(answer))
        for (account, path, key), (until, answer) in core.kept_answers.kept.items()
    ]


def put_repeats(core: Core, saved: list[SavedRepeat]) -> None:
    for one in saved:
        core.kept_answers.kept[one.account, one.path, one.key] = (one.until, answer_of(one.answer))


def take_history(core: Core) -> RequestHistory:
    return attrs.evolve(core.history)


def put_history(core: Core, saved: RequestHistory) -> None:
    for field in attrs.fields(RequestHistory):
        setattr(core.history, field.name, getattr(saved, field.name))


@attrs.frozen(kw_only=True)
class SavedServed:
    """What is known of an endpoint or application that requests were sent to."""

    endpoint_id: str
    public: bool = False
    ignores_cancel: bool = False
    log_window: int | None = None
    log_labels: bool = False
    billable_units: float = 1


@attrs.frozen(kw_only=True)
class SavedEndpoints:
    """The endpoints that were added over HTTP, by id, and those that the requests refer to."""

    declared: dict[str, Mapping[str, Any]] = attrs.field(factory=dict)
    used: list[SavedServed] = attrs.field(factory=list)


def take_endpoints(core: Core) -> SavedEndpoints:
    names = [field.name for field in attrs.fields(SavedServed)]
    used = {job.served.endpoint_id: job.served for job in core.jobs}
    return SavedEndpoints(
        declared={name: entry.document for name, entry in core.declared.items()},
        used=[SavedServed(**{name: getattr(served, name) for name in names}) for served in used.values()],
    )


def stand_ins(saved: SavedEndpoints) -> dict[str, Served]:
    """Return what stands for the endpoints, by id, where they are not registered."""
    return {one.endpoint_id: Served(runners=1, **attrs.asdict(one)) for one in saved.used}
