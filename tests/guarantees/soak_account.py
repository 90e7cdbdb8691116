"""The account of a soak run: compares the calls that were made with the jobs that the server has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from fal_async import ClientTimeoutError, FalError, SubmissionUncertainError

Job = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Ending:
    """The outcome of one call. The server's jobs are matched with it by `number`, which is in its input."""

    number: int
    way: str
    """The kind of call, such as "subscribe" or "run"."""
    error: BaseException | None = attrs.field(default=None, repr=False)
    request_id: str | None = None
    answer: int | None = None
    """The number in the result; None without a result."""
    looked: bool = False
    """Whether `find_submission` was called; it returned the request id `found`, or None."""
    found: str | None = None

    @property
    def outcome(self) -> str:
        if self.answer is not None:
            return "result"
        return "cancelled" if self.error is None else type(self.error).__name__

    @property
    def is_uncertain(self) -> bool:
        cause = self.error.__cause__ if isinstance(self.error, ClientTimeoutError) else self.error
        return isinstance(cause, SubmissionUncertainError)


@attrs.define
class Account:
    asked: int = 0
    endings: Counter[str] = attrs.field(factory=Counter)
    jobs: int = 0
    forgotten: int = 0
    cancels: int = 0
    looked_for: int = 0
    found_again: int = 0
    violations: list[str] = attrs.field(factory=list)

    def __str__(self) -> str:
        endings = ", ".join(f"{count} {name}" for name, count in self.endings.most_common())
        return (
            f"{self.asked} calls = {endings}; {self.jobs} jobs on the server, at most one for each "
            f"({self.forgotten} lost by the restart, {self.cancels} with a cancel); "
            f"of {self.looked_for} uncertain submits that were looked for {self.found_again} were found; "
            f"{len(self.violations)} violations"
        )


def balance(endings: Iterable[Ending], books: Iterable[Job]) -> Account:
    account = Account()
    jobs: dict[int, list[Job]] = defaultdict(list)
    for job in books:
        jobs[job["input"]["n"]].append(job)
        account.jobs += 1
        account.forgotten += bool(job["forgotten"])
        account.cancels += job["cancel_requests"] > 0
    asked = set()
    for ending in endings:
        asked.add(ending.number)
        account.asked += 1
        account.endings[ending.outcome] += 1
        account.looked_for += ending.looked
        account.found_again += ending.found is not None
        for problem in _problems(ending, jobs.get(ending.number, [])):
            account.violations.append(f"no. {ending.number} ({ending.way}): {problem}")
    account.violations += [f"no. {number}: no call asked for it" for number in jobs.keys() - asked]
    return account


def _problems(ending: Ending, jobs: list[Job]) -> Iterator[str]:
    ids = [job["request_id"] for job in jobs]
    if len(jobs) > 1:
        yield f"{len(jobs)} jobs were made"
    if ending.error is not None and not isinstance(ending.error, FalError):
        yield f"a bare {ending.outcome}"
    if ending.answer not in (None, ending.number):
        yield f"the result of no. {ending.answer}"
    # Without a job the id comes from a refusal.
    if jobs and ending.request_id is not None and ending.request_id not in ids:
        yield f"the server has no request {ending.request_id}"
    if ending.answer is not None and not jobs:
        yield "a result without a job"
    if ending.way != "run":
        yield from _what_was_lost(ending, jobs, ids)


def _what_was_lost(ending: Ending, jobs: list[Job], ids: list[str]) -> Iterator[str]:
    """Yield problems with jobs whose id the caller does not know.

    Only an uncertain submit may leave such a job, and `find_submission` must find it.
    """
    if ending.looked and ending.found != (ids[0] if ids else None):
        yield f"find_submission returned {ending.found}, the server has {ids}"
    known = ending.request_id is not None or ending.error is None or ending.is_uncertain
    if jobs and not known:
        yield f"{ending.outcome} without the id of the job that was made"
    if jobs and ending.request_id is not None and not _is_over(jobs[0]):
        yield f"{ending.outcome}, but request {ids[0]} was left to run"


def _is_over(job: Job) -> bool:
    return bool(job["cancel_requests"] or job["forgotten"] or job["state"] == "COMPLETED")
