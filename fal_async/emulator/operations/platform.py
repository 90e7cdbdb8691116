"""The operations of api.fal.ai/v1 that clients need: models and the request history (protocol 11.1)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any, TypeVar

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.wire.answers import Answer, json_answer, method_not_allowed, platform_error

R = TypeVar("R")
DEFAULT_LIMIT, MAX_LIMIT = 50, 100
_DAY = timedelta(days=1)
_STATUSES = {"success": range(200, 400), "user_error": range(400, 500), "error": range(500, 600)}


async def platform(core: Core, call: Call) -> Reply:
    served = {"v1/models": _models, "v1/models/requests/by-endpoint": _requests_by_endpoint, "v1/meta": _meta}
    answer = served.get(call.route.rest)
    if answer is None:
        return platform_error(404, "not_found", f"/{call.route.rest} is not served by the emulator")
    if call.request.method != "GET":
        return method_not_allowed()
    try:
        answered = answer(core, call)
    except ValueError as error:
        answered = platform_error(400, "validation_error", str(error))
    return answered.with_headers({"Date": formatdate(_now(core), usegmt=True)})


def _now(core: Core) -> float:
    """Return the time of the platform API's clock, in seconds since the epoch."""
    return time.time() + core.history.clock_ahead


def _meta(_: Core, __: Call) -> Answer:
    return json_answer({"webhook_ip_ranges": ["127.0.0.1/32"]})


def _models(core: Core, call: Call) -> Answer:
    wanted = _listed(call, "endpoint_id")
    names = [
        endpoint.endpoint_id for endpoint in core.endpoints if not wanted or endpoint.endpoint_id in wanted
    ]
    return json_answer(_page("models", names, call, _model))


def _model(endpoint_id: str) -> dict[str, Any]:
    return {"endpoint_id": endpoint_id, "metadata": {"display_name": endpoint_id, "status": "active"}}


def _requests_by_endpoint(core: Core, call: Call) -> Answer:
    if not core.history.permitted:
        return platform_error(403, "authorization_error", "This API key may not read requests.")
    wanted = _listed(call, "endpoint_id")
    if not wanted:
        raise ValueError("endpoint_id is required")
    matches = _filter(core, call)
    own = (job for job in core.jobs if job.account is call.account)
    jobs = [job for job in own if job.endpoint_id in wanted and matches(job)]
    by = _duration if call.query.get("sort_by") == "duration" else _end
    jobs.sort(key=by, reverse=True)
    payloads = "payloads" in _listed(call, "expand")
    return json_answer(_page("items", jobs, call, lambda job: _item(core, job, payloads=payloads)))


def _filter(core: Core, call: Call) -> Callable[[Job], bool]:
    start, end = _range(core, call)
    request_id, status = call.query.get("request_id"), call.query.get("status")
    if status is not None and status not in _STATUSES:
        raise ValueError(f"status must be one of {', '.join(_STATUSES)}")

    def matches(job: Job) -> bool:
        ended, history = _ended(core, job), core.history
        listed = ended or (not history.only_ended and _is_known(core, job.submitted_at))
        if not listed or request_id not in (None, job.request_id):
            return False
        moment = job.submitted_at if history.filters_by == "sent_at" else job.completed_at if ended else None
        # Compared as microseconds, because the items show times so.
        if moment is None or not start <= _moment_of(core, moment) < end:
            return False
        return status is None or (ended and job.answer is not None and job.answer.status in _STATUSES[status])

    return matches


def _is_known(core: Core, moment: float) -> bool:
    return time.time() >= moment + core.history.lag


def _ended(core: Core, job: Job) -> bool:
    """Return whether the history shows the job as ended."""
    return job.completed_at is not None and _is_known(core, job.completed_at)


def _range(core: Core, call: Call) -> tuple[datetime, datetime]:
    """Return the time range: by default 24 h, 90 days with a request id; `end` is exclusive (protocol 11, 11.1)."""
    now = datetime.fromtimestamp(_now(core), UTC)
    default = _DAY * (90 if "request_id" in call.query else 1)
    end = _moment(call.query["end"]) if "end" in call.query else now + _DAY
    return (_moment(call.query["start"]) if "start" in call.query else now - default), end


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _listed(call: Call, name: str) -> set[str]:
    """Return the values of a query parameter that is repeated or has several, with commas (protocol 11)."""
    return {part for text in call.request.query.getall(name, []) for part in text.split(",") if part}


def _item(core: Core, job: Job, *, payloads: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "request_id": job.request_id,
        "endpoint_id": job.endpoint_id,
        "sent_at": _iso(core, job.submitted_at),
        "started_at": _iso(core, job.started_at or job.submitted_at),
    }
    ended = _ended(core, job)
    if ended and job.completed_at is not None and job.answer is not None:
        item |= {
            "ended_at": _iso(core, job.completed_at),
            "status_code": job.answer.status,
            "duration": _duration(job),
        }
    # X-Fal-Store-IO: 0 leaves input and output out of the history, as a setting of the account does (3.1, 13).
    if payloads and core.history.payloads and job.options.store_io:
        item |= {"json_input": job.input, "json_output": _output(job) if ended else None}
    return item


def _output(job: Job) -> Any:
    if job.answer is None:
        return None
    try:
        return json.loads(job.answer.body)
    except ValueError:
        return None


def _end(job: Job) -> float:
    return job.completed_at or job.submitted_at


def _duration(job: Job) -> float:
    return job.inference_time or 0.0


def _moment_of(core: Core, seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds + core.history.clock_ahead, UTC)


def _iso(core: Core, seconds: float) -> str:
    return _moment_of(core, seconds).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _page(
    name: str, rows: Sequence[R], call: Call, document: Callable[[R], dict[str, Any]]
) -> dict[str, Any]:
    """Return one page: `limit` and `cursor` give `next_cursor` and `has_more` (protocol 11)."""
    limit = _number(call, "limit", DEFAULT_LIMIT, MAX_LIMIT)
    start = _number(call, "cursor", 0, 10**9)
    more = len(rows) > start + limit
    return {
        name: [document(row) for row in rows[start : start + limit]],
        "next_cursor": str(start + limit) if more else None,
        "has_more": more,
    }


def _number(call: Call, name: str, default: int, highest: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) > highest or (name == "limit" and int(text) < 1):
        raise ValueError(f"{name} must be a whole number up to {highest}")
    return int(text)
