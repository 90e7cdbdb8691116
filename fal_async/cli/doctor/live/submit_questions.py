"""Questions about the answers to submits and status polls."""

from __future__ import annotations

from fal_async.cli.doctor.live.live_requests import OVER, LiveRequest, text_of, word_in
from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.cli.doctor.live.observations import Observations
from fal_async.cli.doctor.live.question import Question
from fal_async.cli.doctor.live.shown_responses import shown
from fal_async.protocol.http import HttpResponse


async def _submit(seen: Observations) -> str:
    return shown((await seen.completed()).request.submit)


async def _position(seen: Observations) -> str:
    submit = (await seen.completed()).request.submit
    has = "queue_position" in submit.json()
    return f"{word_in(submit) or 'no status'}, {'with' if has else 'without'} a position"


async def _response_url(seen: Observations) -> str:
    request = (await seen.completed()).request
    url = text_of(request.submit, "response_url")
    if not url:
        return "no response_url"
    return "ends in /response" if url.endswith("/response") else "ends in the id, without a suffix"


async def _submit_id(seen: Observations) -> str:
    submit = (await seen.completed()).request.submit
    if submit.request_id is None:
        return "no such header"
    return "equal" if submit.request_id == text_of(submit, "request_id") else "another id"


async def _gateway_id(seen: Observations) -> str:
    submit = (await seen.completed()).request.submit
    gateway = text_of(submit, "gateway_request_id")
    if not gateway:
        return "not in the answer"
    return "equal" if gateway == text_of(submit, "request_id") else "another id"


async def _code_before_the_end(seen: Observations) -> str:
    found = _unfinished((await seen.completed()).request)
    found = found or _unfinished((await seen.cancelled_running()).request)
    if found is None:
        raise NotSeenError("each request was complete at the first poll")
    return shown(found)


def _unfinished(request: LiveRequest) -> HttpResponse | None:
    """Return the first poll that was answered before the end."""
    polls = (poll for poll in request.polls if poll.status < 300 and word_in(poll) != OVER)
    return next(polls, None)


async def _code_at_the_end(seen: Observations) -> str:
    return shown((await seen.completed()).request.polls[-1])


async def _metrics(seen: Observations) -> str:
    document = (await seen.completed()).request.polls[-1].json()
    metrics = document.get("metrics") if isinstance(document, dict) else None
    return ", ".join(sorted(metrics)) if isinstance(metrics, dict) and metrics else "none"


async def _early_result(seen: Observations) -> str:
    early = (await seen.completed()).early
    if early.status == 200:
        raise NotSeenError("the request had already completed, or fal waits")
    return shown(early)


async def _wrong_input(seen: Observations) -> str:
    response = await seen.wrong_input()
    return f"{response.status}, units {response.headers.get('x-fal-billable-units', 'not told')}"


QUESTIONS = (
    Question(
        name="submit",
        section="4.1",
        asks="status code and status of the answer to a submit",
        sheet="200 and IN_QUEUE; live also IN_PROGRESS",
        expected=("200 IN_QUEUE", "200 IN_PROGRESS"),
        ask=_submit,
    ),
    Question(
        name="submit-position",
        section="14, no. 42",
        asks="does a submit's answer have a queue position?",
        sheet="with IN_QUEUE yes, with IN_PROGRESS it may be missing",
        expected=("IN_QUEUE, with a position", "IN_PROGRESS, *"),
        ask=_position,
    ),
    Question(
        name="response-url",
        section="14, no. 1",
        asks="how does response_url end?",
        sheet="open: /response in the documents, no suffix in clients",
        ask=_response_url,
    ),
    Question(
        name="submit-id",
        section="14, no. 25",
        asks="x-fal-request-id of a submit and its request_id",
        sheet="not said; equal in examples",
        expected=("equal",),
        ask=_submit_id,
    ),
    Question(
        name="gateway-id",
        section="4.1",
        asks="gateway_request_id of a submit and its request_id",
        sheet="optional; equal unless the request was retried",
        expected=("equal", "not in the answer"),
        ask=_gateway_id,
    ),
    Question(
        name="poll-before-end",
        section="4.2",
        asks="status code of a poll before the end",
        sheet="202",
        expected=("202 IN_QUEUE", "202 IN_PROGRESS"),
        ask=_code_before_the_end,
    ),
    Question(
        name="poll-at-end",
        section="4.2",
        asks="status code of a poll at the end",
        sheet="200",
        expected=("200 COMPLETED",),
        ask=_code_at_the_end,
    ),
    Question(
        name="metrics",
        section="4.2",
        asks="names of the metrics at the end",
        sheet="inference_time; others are possible",
        expected=("*inference_time*",),
        ask=_metrics,
    ),
    Question(
        name="early-result",
        section="14, no. 16",
        asks="status code of a result before the end",
        sheet="400 with a detail, not confirmed",
        expected=("400 *",),
        ask=_early_result,
    ),
    Question(
        name="wrong-input",
        section="3.2",
        asks="result for an empty input, and its billable units",
        sheet="422; 0 units where the framework refuses the input",
        expected=("422, units 0*",),
        ask=_wrong_input,
    ),
)
