"""Which failed requests of the queue fal makes again (protocol 4.7)."""

from __future__ import annotations

from fal_async.emulator.jobs.job import Job
from fal_async.emulator.wire.answers import Answer

_TRUE, _FALSE = frozenset({"1", "true"}), frozenset({"0", "false"})


def to_be_retried(job: Job, answer: Answer) -> bool:
    """Return whether fal retries a request, which it never does with direct calls (protocol 4.7).

    503 and 504 are retried. On any 5xx and on 429, the application's header X-Fal-Needs-Retry takes precedence.
    """
    if job.via != "queue" or job.attempts > job.options.extra_attempts:
        return False
    if answer.status < 500 and answer.status != 429:
        return False
    said = {name.lower(): value for name, value in answer.headers.items()}.get("x-fal-needs-retry", "")
    return said.lower() in _TRUE or (answer.status in (503, 504) and said.lower() not in _FALSE)
