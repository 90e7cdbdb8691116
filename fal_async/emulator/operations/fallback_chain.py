"""Fallback chains: `POST fal.run/execute` runs a model, and up to two others if it fails (protocol 3.5).

Most names of fields are not established. What is read here is lenient: the start limit is a number in `config`
whose name has "start" or "timeout"; the errors that lead to a fallback are a list `on`, `errors` or `error_types`
of the words `server_error`, `timeout` and `policy`, of error types, or of HTTP statuses. What is answered is a
guess: `output`, `endpoint` and `attempts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.jobs.options import CallOptions
from fal_async.emulator.operations import submit
from fal_async.emulator.operations.submit import options_and_input, performed
from fal_async.emulator.wire.answers import Answer, detail_entry, json_answer, method_not_allowed, value_of

PATH = "execute"
_MOST_FALLBACKS = 2
_TRIGGERS = ("on", "errors", "error_types")
_USUAL = ("server_error", "timeout")
"""What leads to a fallback that does not say it: "policy" is to be asked for (3.5)."""
_TIMEOUTS = frozenset({408, 504})


@attrs.frozen(kw_only=True)
class _Step:
    """One model of the chain, and the errors of the one before that lead to it."""

    endpoint: Endpoint
    input: Any
    start_limit: float | None
    on: tuple[Any, ...]

    def follows(self, failure: Job) -> bool:
        """Return whether this model is tried after a failure."""
        status = 0 if failure.answer is None else failure.answer.status
        said = {failure.error_type, status, str(status)}
        if status >= 500:
            said.add("server_error")
        if status in _TIMEOUTS:
            said.add("timeout")
        if status == 422:
            said.add("policy")
        return not said.isdisjoint(self.on)


class _BadChain(ValueError):
    """Raised with the place of what can't be read, and what was expected there."""

    def __init__(self, *place: str | int, expected: str) -> None:
        super().__init__(expected)
        self.place: tuple[str | int, ...] = ("body", *place)


async def run(core: Core, call: Call) -> Answer:
    """Answer a direct call: that of a chain, or of one model."""
    return await (execute if call.route.rest == PATH else submit.run)(core, call)


async def execute(core: Core, call: Call) -> Answer:
    """Run the models of a chain one after the other, until one succeeds. Nothing runs if one of them is unknown."""
    if call.request.method != "POST":
        return method_not_allowed()
    found, *read = await submit.recorded(core, call, "run")
    if found is not None:
        return found if isinstance(found, Answer) else await submit.run_performance(core, call, found, *read)
    taken = options_and_input(call)
    if isinstance(taken, Answer):
        return taken
    options, body = taken
    try:
        steps = _steps(core, body)
    except _BadChain as error:
        return json_answer({"detail": [detail_entry(error.place, str(error), "value_error", body)]}, 422)
    if isinstance(steps, Answer):
        return steps
    attempts: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        if number and call.job is not None and not step.follows(call.job):
            continue
        if number and call.account.refusal("run") is not None:
            break
        answer = await _attempt(core, call, step, options)
        attempts.append(_record(call.job, answer))
        if answer.status < 400:
            break
    return _with_attempts(answer, attempts)


async def _attempt(core: Core, call: Call, step: _Step, options: CallOptions) -> Answer:
    limit = options.start_timeout if step.start_limit is None else step.start_limit
    choice = call.choice if call.job is None else None
    call.job = core.jobs.open(
        step.endpoint,
        step.endpoint.endpoint_id,
        step.input,
        via="run",
        options=attrs.evolve(options, start_timeout=limit),
        headers=call.headers,
        origin=call.origin,
        credential=call.credential,
        choice=choice,
    )
    return await performed(core, step.endpoint, call.job, step.endpoint.call)


def _record(job: Job | None, answer: Answer) -> dict[str, Any]:
    assert job is not None
    record: dict[str, Any] = {
        "endpoint": job.endpoint_id,
        "request_id": job.request_id,
        "status": answer.status,
        "duration": job.inference_time,
    }
    return record if not job.failed else {**record, "error": value_of(answer), "error_type": job.error_type}


def _with_attempts(answer: Answer, attempts: list[dict[str, Any]]) -> Answer:
    """Return the last answer with the record of all attempts; a failure keeps its `detail` and its status."""
    value = value_of(answer)
    if answer.status < 400:
        document = {"output": value, "endpoint": attempts[-1]["endpoint"], "attempts": attempts}
    else:
        document = {**(value if isinstance(value, dict) else {"detail": value}), "attempts": attempts}
    made = json_answer(document, answer.status)
    return Answer(answer.status, answer.with_headers(made.headers).headers, made.body)


def _steps(core: Core, body: Any) -> list[_Step] | Answer:
    """Return the models of the chain, or the 404 of one that the emulator does not have."""
    if not isinstance(body, dict):
        raise _BadChain(expected="expected an object with endpoint, input, config and fallback")
    fallbacks = body.get("fallback") or []
    fallbacks = [fallbacks] if isinstance(fallbacks, dict) else fallbacks
    if not isinstance(fallbacks, list) or len(fallbacks) > _MOST_FALLBACKS:
        raise _BadChain("fallback", expected=f"expected a list of at most {_MOST_FALLBACKS} models")
    steps = []
    for place, entry in [((), body), *((("fallback", at), entry) for at, entry in enumerate(fallbacks))]:
        step = _step(core, entry, place, body.get("input", {}))
        if isinstance(step, Answer):
            return step
        steps.append(step)
    return steps


def _step(core: Core, entry: Any, place: tuple[str | int, ...], usual_input: Any) -> _Step | Answer:
    if not isinstance(entry, dict) or not isinstance(entry.get("endpoint"), str):
        raise _BadChain(*place, "endpoint", expected="expected an endpoint id, such as 'fal-ai/flux/dev'")
    endpoint = core.endpoints.find(entry["endpoint"])
    if endpoint is None:
        return core.endpoints.missing(entry["endpoint"])
    return _Step(
        endpoint=endpoint,
        input=entry.get("input", usual_input),
        start_limit=_start_limit(entry.get("config"), place),
        on=_triggers(entry, place),
    )


def _start_limit(config: Any, place: tuple[str | int, ...]) -> float | None:
    members = config.items() if isinstance(config, Mapping) else ()
    for word in ("start", "timeout"):
        for name, value in members:
            if word not in name.lower():
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0.1:
                raise _BadChain(*place, "config", name, expected="expected seconds > 0.1")
            return float(value)
    return None


def _triggers(entry: Mapping[str, Any], place: tuple[str | int, ...]) -> tuple[Any, ...]:
    given = next((entry[name] for name in _TRIGGERS if name in entry), None)
    words = list(_USUAL) if given is None else [given] if isinstance(given, str | int) else given
    if not isinstance(words, list) or not all(isinstance(word, str | int) for word in words):
        raise _BadChain(*place, "on", expected="expected a list of errors, such as server_error")
    return tuple(words)
