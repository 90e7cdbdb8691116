"""Requests, with their results and logs. Those that have not ended begin anew when they are loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
from multidict import CIMultiDict

from fal_async.emulator.accounts.api_keys import ApiKey
from fal_async.emulator.accounts.credential import Credential
from fal_async.emulator.accounts.prices import Price
from fal_async.emulator.core import Core
from fal_async.emulator.jobs.job import COMPLETED, IN_PROGRESS, IN_QUEUE, Job
from fal_async.emulator.jobs.options import CallOptions
from fal_async.emulator.jobs.served import NO_LIMIT, Served
from fal_async.emulator.state.saved_bodies import SavedAnswer, answer_of, saved_answer
from fal_async.emulator.state.saved_values import values

_SECRETS = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.I)
"""Headers that are not saved: without a required key, a program may send its real one."""


@attrs.frozen(kw_only=True)
class SavedCaller:
    """Who made a request; the account "" is that of callers without a key."""

    account: str
    key_id: str | None = None
    alias: str | None = None
    is_admin: bool = False
    login: bool = False


@attrs.frozen(kw_only=True)
class SavedJob:
    """A request.

    `served` is the id of its endpoint or application, `place` its place in the queues, and `at_fal` tells whether
    fal itself was answering it, for a recording that was not written yet.
    """

    request_id: str
    endpoint_id: str
    served: str
    caller: SavedCaller
    via: str
    state: str
    place: int | None = None
    at_fal: bool = False
    input: Any = None
    options: CallOptions = attrs.field(factory=CallOptions)
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    origin: str = ""
    submitted_at: float
    started_at: float | None = None
    completed_at: float | None = None
    fetched_at: float | None = None
    attempts: int = 0
    gateway_request_id: str = ""
    cancel_requests: int = 0
    logs: list[dict[str, Any]] = attrs.field(factory=list)
    answer: SavedAnswer | None = None
    error: str | None = None
    error_type: str | None = None
    inference_time: float | None = None
    billable_units: float | None = None
    price: Price | None = None
    payloads_deleted: bool = False
    workflow_request_id: str | None = None
    steps: Mapping[str, str] = attrs.field(factory=dict)
    recording: str | None = None
    forgotten: bool = False


_CONVERTED = frozenset({"served", "caller", "place", "at_fal", "headers", "logs", "answer"})
_SAME = tuple(field.name for field in attrs.fields(SavedJob) if field.name not in _CONVERTED)


def take_jobs(core: Core) -> list[SavedJob]:
    """Return the jobs, except those of scopes, which end with their tests."""
    in_order = (job for runners, _ in core.runners for job in runners.in_order)
    places = {job: at for at, job in enumerate(in_order)}
    return [_saved(job, places.get(job)) for job in core.jobs if not job.account.is_scope]


def _saved(job: Job, place: int | None) -> SavedJob:
    key = job.credential.key
    return SavedJob(
        **{name: getattr(job, name) for name in _SAME},
        served=job.served.endpoint_id,
        caller=SavedCaller(
            account=job.account.nickname,
            key_id=None if key is None else key.key_id,
            alias=None if key is None else key.alias,
            is_admin=job.credential.is_admin,
            login=job.credential.login,
        ),
        place=place,
        at_fal=job.state != COMPLETED and job.recording is None and job.served.runners == NO_LIMIT,
        headers=[(name, value) for name, value in job.headers.items() if not _SECRETS.search(name)],
        logs=list(job.logs),
        answer=None if job.answer is None else saved_answer(job.answer),
    )


def line_of(saved: SavedJob) -> str:
    """Return a job as a line of JSON."""
    return json.dumps(values.unstructure(saved))


def job_of_line(line: str) -> SavedJob:
    """Read what `line_of` has written. Raise an exception of any kind if it is something else."""
    return values.structure(json.loads(line), SavedJob)


def put_jobs(core: Core, saved: list[SavedJob], served: Mapping[str, Served]) -> None:
    """Add the jobs; `served` has what stands for the endpoints that are not registered."""
    readers = _Readers(core, served)
    jobs = [readers.job(one) for one in saved]
    for job in jobs:
        core.jobs.restore(job)
    core.jobs.restore_ends(sorted((job for job in jobs if job.state == COMPLETED), key=_ended_at))


def _ended_at(job: Job) -> float:
    return job.completed_at or 0.0


class _Readers:
    """Makes jobs, which share equal values."""

    def __init__(self, core: Core, served: Mapping[str, Served]) -> None:
        self._core, self._served = core, served
        self._credentials: dict[SavedCaller, Credential] = {}
        self._headers: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def job(self, saved: SavedJob) -> Job:
        job = Job(
            **{name: getattr(saved, name) for name in _SAME},
            served=self._core.endpoints.serving(saved.served) or self._served[saved.served],
            credential=self._credential(saved.caller),
            headers=self._headers.setdefault(tuple(saved.headers), CIMultiDict(saved.headers)),
            logs=list(saved.logs),
            answer=None if saved.answer is None else answer_of(saved.answer),
            loop=self._core.loop,
            clock=self._core.clock,
        )
        _before_attempt(job)
        return job

    def _credential(self, caller: SavedCaller) -> Credential:
        known = self._credentials.get(caller)
        if known is None:
            known = self._credentials[caller] = _credential(self._core, caller)
        return known


def _credential(core: Core, caller: SavedCaller) -> Credential:
    account = core.keyring.accounts[caller.account] if caller.account else core.keyring.anonymous
    key = None
    if caller.key_id is not None:
        valid = (*account.api_keys, account.find_key(account.admin_key))
        deleted = ApiKey(key=f"{caller.key_id}:deleted", alias=caller.alias or "", created_at=0.0)
        key = next((each for each in valid if each is not None and each.key_id == caller.key_id), deleted)
    return Credential(account=account, key=key, is_admin=caller.is_admin, login=caller.login)


def _before_attempt(job: Job) -> None:
    """Put a job that was running in the state before its attempt, whose log lines are written again."""
    if job.state == COMPLETED:
        return
    job.billable_units = None
    if job.recording is not None:
        job.logs, job.attempts, job.started_at, job.inference_time = [], 0, None, None
    elif job.state == IN_PROGRESS and job.started_at is not None:
        began = datetime.fromtimestamp(job.started_at, UTC).isoformat()
        job.logs = [entry for entry in job.logs if entry["timestamp"] < began]
        job.attempts -= 1
    job.state = IN_QUEUE


def readdress(job: Job, before: str, now: str) -> None:
    """Replace the emulator's address in what a client reads of a job, so that URLs of files lead to this one."""
    if not job.origin.startswith(before):
        return
    old, new = f"{job.origin}/", f"{now}/"
    job.origin = now
    job.input, job.logs = _replaced(job.input, old, new), _replaced(job.logs, old, new)
    if job.answer is not None and old.encode() in job.answer.body:
        body = job.answer.body.replace(old.encode(), new.encode())
        job.answer = attrs.evolve(job.answer, body=body)


def _replaced(value: Any, old: str, new: str) -> Any:
    text = json.dumps(value)
    return json.loads(text.replace(old, new)) if old in text else value
