"""The floor of api.fal.ai/v1: the models that are served, and a look-up of past requests (protocol 11.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.wire.answers import Answer, json_answer, method_not_allowed, platform_error

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
        return answer(core, call)
    except ValueError as error:
        return platform_error(400, "validation_error", str(error))


def _meta(_: Core, __: Call) -> Answer:
    return json_answer({"webhook_ip_ranges": ["127.0.0.1/32"]})


def _models(core: Core, call: Call) -> Answer:
    wanted = _listed(call, "endpoint_id")
    models = [
        {
            "endpoint_id": endpoint.endpoint_id,
            "metadata": {"display_name": endpoint.endpoint_id, "status": "active"},
        }
        for endpoint in core.endpoints
        if not wanted or endpoint.endpoint_id in wanted
    ]
    return json_answer(_page("models", models, call))


def _requests_by_endpoint(core: Core, call: Call) -> Answer:
    wanted = _listed(call, "endpoint_id")
    if not wanted:
        raise ValueError("endpoint_id is required")
    matches = _filter(call)
    jobs = [job for job in core.jobs if job.endpoint_id in wanted and matches(job)]
    by = _duration if call.query.get("sort_by") == "duration" else _end
    jobs.sort(key=by, reverse=True)
    payloads = "payloads" in _listed(call, "expand")
    return json_answer(_page("items", [_item(job, payloads=payloads) for job in jobs], call))


def _filter(call: Call) -> Callable[[Job], bool]:
    start, end = _range(call)
    request_id, status = call.query.get("request_id"), call.query.get("status")
    if status is not None and status not in _STATUSES:
        raise ValueError(f"status must be one of {', '.join(_STATUSES)}")

    def matches(job: Job) -> bool:
        # As a moment of whole microseconds, which is what `sent_at` says.
        sent = datetime.fromtimestamp(job.submitted_at, UTC)
        if not start <= sent < end or request_id not in (None, job.request_id):
            return False
        return status is None or (job.answer is not None and job.answer.status in _STATUSES[status])

    return matches


def _range(call: Call) -> tuple[datetime, datetime]:
    """The last 24 h by default, 90 d with a request id; `end` is exclusive (protocol 11, 11.1)."""
    now = datetime.now(UTC)
    default = _DAY * (90 if "request_id" in call.query else 1)
    end = _moment(call.query["end"]) if "end" in call.query else now + _DAY
    return (_moment(call.query["start"]) if "start" in call.query else now - default), end


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _listed(call: Call, name: str) -> set[str]:
    """Lists in queries: repeated, or separated by commas (protocol 11)."""
    return {part for text in call.request.query.getall(name, []) for part in text.split(",") if part}


def _item(job: Job, *, payloads: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "request_id": job.request_id,
        "endpoint_id": job.endpoint_id,
        "sent_at": _iso(job.submitted_at),
        "started_at": _iso(job.started_at or job.submitted_at),
    }
    if job.completed_at is not None and job.answer is not None:
        item |= {
            "ended_at": _iso(job.completed_at),
            "status_code": job.answer.status,
            "duration": _duration(job),
        }
    # X-Fal-Store-IO: 0 keeps input and output out of the history (protocol 3.1).
    if payloads and job.options.store_io:
        item |= {"json_input": job.input, "json_output": _output(job)}
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


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _page(name: str, entries: Iterable[dict[str, Any]], call: Call) -> dict[str, Any]:
    """`limit`, `cursor` -> `next_cursor`, `has_more` (protocol 11)."""
    limit = _number(call, "limit", DEFAULT_LIMIT, MAX_LIMIT)
    start = _number(call, "cursor", 0, 10**9)
    rows = list(entries)
    more = len(rows) > start + limit
    return {
        name: rows[start : start + limit],
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
