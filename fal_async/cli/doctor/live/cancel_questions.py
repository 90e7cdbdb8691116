"""Questions about cancels, and about requests that do not exist."""

from __future__ import annotations

from fal_async.cli.doctor.live.live_requests import OVER, text_of
from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.cli.doctor.live.observations import Cancelled, Observations
from fal_async.cli.doctor.live.question import Question
from fal_async.cli.doctor.live.shown_responses import shown


async def _waiting(seen: Observations) -> str:
    cancelled = await seen.cancelled_at_once()
    if cancelled.before != "IN_QUEUE":
        raise NotSeenError(f"the request was {cancelled.before or 'without a status'} right after the submit")
    return shown(_in_time(cancelled).cancel)


async def _running(seen: Observations) -> str:
    return shown((await _was_running(seen)).cancel)


async def _running_result(seen: Observations) -> str:
    return shown((await _was_running(seen)).result)


async def _running_status(seen: Observations) -> str:
    last = (await _was_running(seen)).request.polls[-1]
    error = text_of(last, "error_type") or ("error" if text_of(last, "error") else "no error")
    return f"{shown(last)}, {error}"


async def _waiting_result(seen: Observations) -> str:
    cancelled = await seen.cancelled_at_once()
    if cancelled.before != "IN_QUEUE" or cancelled.cancel.status != 200:
        raise NotSeenError("the request ran by the time of the cancel")
    return shown(cancelled.result)


async def _done(seen: Observations) -> str:
    return shown((await seen.completed()).late_cancel)


async def _cancel_unknown(seen: Observations) -> str:
    return shown((await seen.unknown()).cancel)


async def _status_unknown(seen: Observations) -> str:
    return shown((await seen.unknown()).status)


async def _status_without_key(seen: Observations) -> str:
    return shown((await seen.unknown()).without_key)


async def _result_unknown(seen: Observations) -> str:
    return shown((await seen.unknown()).result)


async def _was_running(seen: Observations) -> Cancelled:
    cancelled = await seen.cancelled_at_once()
    if cancelled.before != "IN_PROGRESS":  # fal says so of some models in the answer to the submit
        cancelled = await seen.cancelled_running()
    if cancelled.before == OVER:
        raise NotSeenError("the request completed before it was seen running")
    return _in_time(cancelled)


def _in_time(cancelled: Cancelled) -> Cancelled:
    """Return it, or raise NotSeenError if the request may have completed before its cancel arrived."""
    if cancelled.cancel.status >= 400 and cancelled.after == OVER:
        raise NotSeenError(f"{shown(cancelled.cancel)}, but perhaps it had completed by then")
    return cancelled


QUESTIONS = (
    Question(
        name="cancel-queued",
        section="4.5",
        asks="cancel of a request that waits",
        sheet="200 OK, or 202 CANCELLATION_REQUESTED if it runs meanwhile",
        expected=("200 OK", "202 CANCELLATION_REQUESTED", "200 success=*"),
        ask=_waiting,
    ),
    Question(
        name="cancel-queued-result",
        section="4.5",
        asks="result after the cancel of a waiting request",
        sheet="open; after the start 499 client_cancelled",
        ask=_waiting_result,
    ),
    Question(
        name="cancel-running",
        section="4.5",
        asks="cancel of a request that runs",
        sheet="202 CANCELLATION_REQUESTED; live also a 4xx with only a detail",
        expected=("202 CANCELLATION_REQUESTED", "200 success=*"),
        ask=_running,
    ),
    Question(
        name="cancel-running-status",
        section="4.5",
        asks="last status after the cancel of a running request",
        sheet="COMPLETED, whether or not the app stops",
        expected=("200 COMPLETED, *",),
        ask=_running_status,
    ),
    Question(
        name="cancel-running-result",
        section="4.5",
        asks="result after the cancel of a running request",
        sheet="499 client_cancelled, or 200 if the app ignores the cancel",
        expected=("499 client_cancelled*", "200 *"),
        ask=_running_result,
    ),
    Question(
        name="cancel-done",
        section="14, no. 35",
        asks="cancel of a request that is done",
        sheet="400 ALREADY_COMPLETED; live also a 4xx with only a detail",
        expected=("400 ALREADY_COMPLETED",),
        ask=_done,
    ),
    Question(
        name="cancel-unknown",
        section="4.5",
        asks="cancel of an unknown id",
        sheet="404 NOT_FOUND",
        expected=("404 NOT_FOUND",),
        ask=_cancel_unknown,
    ),
    Question(
        name="status-unknown",
        section="4.2",
        asks="status of an unknown id",
        sheet="404 NOT_FOUND",
        expected=("404 NOT_FOUND",),
        ask=_status_unknown,
    ),
    Question(
        name="status-without-key",
        section="14, no. 46",
        asks="status of an unknown id without any key",
        sheet="404 NOT_FOUND, seen by a third party; else 401",
        expected=("404 NOT_FOUND", "401 *"),
        ask=_status_without_key,
    ),
    Question(
        name="result-unknown",
        section="14, no. 17",
        asks="result of an unknown id",
        sheet="open; taken as gone: 404",
        expected=("404*",),
        ask=_result_unknown,
    ),
)
