"""Questions about request headers that fal reads, and response headers that it sends."""

from __future__ import annotations

import re
from collections.abc import Callable

from fal_async.cli.doctor.live.observations import Observations
from fal_async.cli.doctor.live.question import Question
from fal_async.cli.doctor.live.shown_responses import shown

_LISTED = frozenset(
    {
        "x-fal-billable-units",
        "x-fal-cdn-token",
        "x-fal-error-type",
        "x-fal-needs-retry",
        "x-fal-request-id",
        "x-fal-request-timeout-type",
        "x-fal-retryable",
        "x-fal-runner-hints",
        "x-fal-served-from",
    }
)
"""The response headers of (protocol 3.2)."""
_LIMITS = re.compile(r"rate-?limit|^retry-after$")
_HINTS = ("x-fal-needs-retry", "x-fal-retryable")
_MALFORMED = "soon"


async def _start_timeout(seen: Observations, header: str) -> str:
    """Submit with a malformed value, which a server refuses if it reads the header. An accepted one is billed."""
    response, accepted = await seen.requests.submit(headers={header: _MALFORMED})
    if accepted is not None:
        await seen.requests.cancel(accepted)
        await seen.requests.until(accepted, ())
        return f"{response.status}: accepted"
    return shown(response)


async def _new_name(seen: Observations) -> str:
    return await _start_timeout(seen, "X-Fal-Request-Start-Timeout")


async def _old_name(seen: Observations) -> str:
    return await _start_timeout(seen, "X-Fal-Request-Timeout")


async def _result_id(seen: Observations) -> str:
    done = await seen.completed()
    if done.result.request_id is None:
        return "no such header"
    return "equal" if done.result.request_id == done.request.ref.request_id else "another id"


async def _units(seen: Observations) -> str:
    return (await seen.completed()).result.headers.get("x-fal-billable-units", "no such header")


async def _cdn_token(seen: Observations) -> str:
    headers = (await seen.completed()).result.headers
    return "sent" if "x-fal-cdn-token" in headers else "not sent"


async def _retry_hints(seen: Observations) -> str:
    await seen.wrong_input()
    failed = [response for _, response in seen.requests.responses if response.status >= 400]
    found = {f"{name}: {each.headers[name]}" for each in failed for name in _HINTS if name in each.headers}
    return ", ".join(sorted(found)) or f"none in {len(failed)} error responses"


async def _rate_limits(seen: Observations) -> str:
    await seen.completed()
    return _names(seen, lambda name: bool(_LIMITS.search(name))) or "none"


async def _others(seen: Observations) -> str:
    await seen.completed()
    return _names(seen, lambda name: name.startswith("x-fal-") and name not in _LISTED) or "none"


def _names(seen: Observations, wanted: Callable[[str], bool]) -> str:
    """Return the wanted names of headers with the operations whose responses had them."""
    found: dict[str, set[str]] = {}
    for operation, response in seen.requests.responses:
        for name in filter(wanted, response.headers):
            found.setdefault(name, set()).add(operation)
    return "; ".join(
        f"{name} ({', '.join(sorted(operations))})" for name, operations in sorted(found.items())
    )


QUESTIONS = (
    Question(
        name="start-timeout",
        section="14, no. 4",
        asks="submit with a malformed X-Fal-Request-Start-Timeout",
        sheet="the new name is read: 400 bad_request",
        expected=("400 bad_request*",),
        ask=_new_name,
    ),
    Question(
        name="start-timeout-old",
        section="14, no. 4",
        asks="submit with a malformed X-Fal-Request-Timeout",
        sheet="the older name is read, too: 400 bad_request",
        expected=("400 bad_request*",),
        ask=_old_name,
    ),
    Question(
        name="result-id",
        section="3.2",
        asks="x-fal-request-id of a result and the request id",
        sheet="it has the request's id",
        expected=("equal",),
        ask=_result_id,
    ),
    Question(
        name="billable-units",
        section="3.2",
        asks="x-fal-billable-units of a result",
        sheet="decimal text",
        expected=("[0-9]*",),
        ask=_units,
    ),
    Question(
        name="cdn-token",
        section="14, no. 45",
        asks="x-fal-cdn-token of a result (its value is not shown)",
        sheet="seen on results; not documented",
        ask=_cdn_token,
    ),
    Question(
        name="retry-hints",
        section="14, no. 5",
        asks="headers of error responses about retries",
        sheet="open: X-Fal-Needs-Retry or X-Fal-Retryable",
        ask=_retry_hints,
    ),
    Question(
        name="rate-limits",
        section="14, no. 34",
        asks="headers about rate limits, and Retry-After",
        sheet="none is documented",
        expected=("none",),
        ask=_rate_limits,
    ),
    Question(
        name="other-headers",
        section="3.2",
        asks="response headers of fal that the table lacks",
        sheet="none",
        expected=("none",),
        ask=_others,
    ),
)
