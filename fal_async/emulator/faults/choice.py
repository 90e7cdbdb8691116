"""What a request chooses for itself, by a header or by a member of its input, in any client and language.

A program whose tests can't reach `/_emulator/faults` asks with it for a failure of this one request: the header
`X-Fal-Emulator: fail=422; delay=3`, or the input member `"__emulator__": {"fail": 422, "delay": 3}`. Citations such
as (protocol 9.1) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import attrs

from fal_async.emulator.faults.effect import Effect
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.faults.fault_fields import ANY
from fal_async.emulator.faults.kinds import KINDS
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.wire.answers import detail_entry

HEADER = "X-Fal-Emulator"
MEMBER = "__emulator__"
CHOOSING = frozenset({"run", "submit", "stream", "realtime", "websocket"})
"""The operations that make a request, which is what can choose."""
_OF_A_QUEUED = ("submit", "status", "status_stream", "result", "cancel", ANY)
_OF_ALL = frozenset({"refuse"})
"""Kinds of fault that hit other requests, too."""
_OWN = ("fail", "type", "detail", "delay", "cold_start", "logs", "fault")
_FIELDS = tuple(
    field.name
    for field in attrs.fields(Fault)
    if field.name not in ("kind", "endpoint_id", "chance", "detail")
)
WORDS = (*_OWN, *_FIELDS)
_OF_AN_OUTCOME = ("retry_after", "needs_retry", "headers", "body", "fal_headers")
_TEXTS = frozenset(
    {"type", "detail", "logs", "fault", "on", "where", "retry_after", "error_type", "body"}
) | {
    "url",
    "event_type",
    "cut",
}
"""Words whose value in a header is a `str`, also if it looks like a number."""
_REQUEST_ERRORS: Mapping[str, int] = {
    "request_timeout": 504,
    "startup_timeout": 504,
    "runner_scheduling_failure": 503,
    "runner_connection_timeout": 503,
    "runner_disconnected": 503,
    "runner_connection_refused": 503,
    "runner_connection_error": 503,
    "runner_incomplete_response": 502,
    "runner_server_error": 500,
    "client_disconnected": 499,
    "client_cancelled": 499,
    "bad_request": 400,
    "internal_error": 500,
    "concurrent_requests_limit": 429,
}
"""fal's own errors, whose `detail` is a `str`, with their HTTP status (protocol 9.2)."""
_MODEL_ERRORS: Mapping[str, int] = {
    "internal_server_error": 500,
    "generation_timeout": 504,
    "downstream_service_error": 500,
    "downstream_service_unavailable": 500,
}
"""Errors of models whose HTTP status is not 422 (protocol 9.1)."""


class BadChoice(ValueError):
    """A choice that can't be read, which is answered with 400."""


class Run(Protocol):
    """A run of a request: `JobContext`."""

    request_id: str

    def log(self, message: str) -> None: ...
    async def sleep(self, seconds: float) -> None: ...


@attrs.frozen(eq=False, kw_only=True)
class Choice:
    """What a request has chosen.

    Attributes:
        outcome: makes the answer of the run in place of the model's. None: the model answers.
        delay: seconds of work before the answer.
        cold_start: seconds in the queue until a runner is ready.
        logs: lines that the run logs first.
        calls: the faults of the request's calls.
    """

    outcome: Effect | None
    delay: float
    cold_start: float
    logs: tuple[str, ...]
    calls: FaultScript

    async def perform(self, work: Callable[[Any, Any], Awaitable[Any]], input: Any, run: Run) -> Any:
        """Do what is chosen for a run, and return its answer, which is the model's if no other is chosen."""
        for line in self.logs:
            run.log(line)
        await run.sleep(self.delay)
        return await work(input, run) if self.outcome is None else self.outcome.instead(run.request_id)


def read_choice(kind: str, header: str | None, member: Any) -> Choice | None:
    """Return the choice of a request, or None if it has none.

    Args:
        kind: the operation: a value of `CHOOSING`.
        header: the value of `HEADER`, or None.
        member: the value of `MEMBER`, or None. Its words take precedence.

    Raises:
        BadChoice: If a word is unknown, or its value is bad.
    """
    if header is None and member is None:
        return None  # as most requests
    try:
        words = {**_words(header), **_words(member)}
        if unknown := sorted(set(words) - set(WORDS)):
            raise ValueError(f"unknown word {unknown[0]!r:.80}: expected some of {', '.join(WORDS)}")
        return _choice(kind, words) if words else None
    except (ValueError, TypeError, RecursionError) as error:
        raise BadChoice(str(error)) from error


def _words(given: Any) -> dict[str, Any]:
    """Return the words of a JSON object, or of a `str` that is one or has the form `fail=422; delay=3`."""
    if isinstance(given, str):
        given = _object(given) if given.lstrip().startswith("{") else _pairs(given)
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{given!r:.80}: expected words such as fail=422; delay=3, or a JSON object of them")
    return given or {}


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.80}: expected a JSON object: {error}") from None


def _pairs(text: str) -> dict[str, Any]:
    words = {}
    for pair in filter(str.strip, text.split(";")):
        word, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ValueError(f"{word!r:.80}: expected word=value, with one of the words {', '.join(WORDS)}")
        words[word] = _value(word, value)
    return words


def _value(word: str, text: str) -> Any:
    if word == "names":
        return [name.strip() for name in text.split(",")]
    try:
        return text if word in _TEXTS else json.loads(text)
    except ValueError:
        return text  # whose word says what it expects


def _choice(kind: str, words: dict[str, Any]) -> Choice:
    delay, cold_start = (_seconds(words, word) for word in ("delay", "cold_start"))
    logs = words.pop("logs", [])
    lines = [logs] if isinstance(logs, str) else logs
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError(f"logs={logs!r:.80}: expected a line, or a list of lines")
    calls = FaultScript()
    fault = words.pop("fault", None)
    fails = "fail" in words or "type" in words
    if fails and kind == "realtime":
        raise ValueError(
            "a session has no answer that could fail: expected fault=ws_close; code=1011, or another fault"
        )
    outcome = _outcome(words, alone=fault is None) if fails else None
    if fault is not None:
        calls.add(_fault(kind, fault, words))
    elif words:
        raise ValueError(
            f"{next(iter(words))!r} needs fault=, with one of {', '.join(sorted(KINDS.keys() - _OF_ALL))}; "
            f"or fail=, of which these are: {', '.join(('type', 'detail', *_OF_AN_OUTCOME))}"
        )
    return Choice(outcome=outcome, delay=delay, cold_start=cold_start, logs=tuple(lines), calls=calls)


def _seconds(words: dict[str, Any], word: str) -> float:
    value = words.pop(word, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{word}={value!r:.80}: expected seconds >= 0")
    return float(value)


def _outcome(words: dict[str, Any], *, alone: bool) -> Effect:
    """Take the words of a failed run. `alone`: there is no fault, to which the others would belong."""
    error_type, detail = words.pop("type", None), words.pop("detail", None)
    if not (detail is None or isinstance(detail, str | list)):
        raise ValueError(f"detail={detail!r:.80}: expected a str, or a list of entries")
    if error_type is not None and not (isinstance(error_type, str) and error_type):
        raise ValueError(f"type={error_type!r:.80}: expected an error type, such as content_policy_violation")
    usual = _REQUEST_ERRORS.get(error_type, _MODEL_ERRORS.get(error_type, 422)) if error_type else None
    status = words.pop("fail", usual)
    if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status <= 599:
        raise ValueError(f"fail={status!r:.80}: expected an HTTP status from 400 to 599")
    others = {word: words.pop(word) for word in _OF_AN_OUTCOME if alone and word in words}
    if error_type is not None and error_type not in _REQUEST_ERRORS:
        if not isinstance(detail, list):
            detail = [detail_entry(["body"], detail or "The model failed on demand", error_type, {})]
        error_type = None
    wanted = {"kind": "answer", "status": status, "detail": detail, "error_type": error_type, **others}
    return Fault.from_json(wanted).effect


def _fault(kind: str, name: Any, words: dict[str, Any]) -> Fault:
    if name in _OF_ALL:
        raise ValueError(f"fault={name}: it hits other requests, too: use POST /_emulator/faults")
    if isinstance(name, str) and name in KINDS:
        words.setdefault("on", _usual_call(kind, KINDS[name]))
    fault = Fault.from_json({"kind": name, **words})
    possible = _OF_A_QUEUED if kind == "submit" else (kind, ANY)
    if fault.on not in possible:
        raise ValueError(f"on={fault.on!r}: expected one of the request's calls, {', '.join(possible)}")
    return fault


def _usual_call(kind: str, effect: type[Effect]) -> str:
    """Return the call that gets the fault: of a queued request its result, since that has the model's answer."""
    return "result" if kind == "submit" and effect.knows("result") else kind
