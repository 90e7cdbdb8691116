"""Runs `fal-async doctor --live` with parsed arguments."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from fal_async.cli import exits
from fal_async.cli.doctor.doctor_report import document_of, status_of, text_of
from fal_async.cli.doctor.examination import examine
from fal_async.cli.doctor.finding import Finding, problems
from fal_async.cli.doctor.live.live_plan import Plan, announcement, can_confirm, confirmed, plan_of
from fal_async.cli.doctor.live.live_report import Outcome, outcome_document, table_of
from fal_async.cli.doctor.live.live_requests import LiveRequests
from fal_async.cli.doctor.live.observations import Observations
from fal_async.cli.doctor.live.question import Answer, Verdict
from fal_async.cli.doctor.live.questions import QUESTIONS, answers_to
from fal_async.cli.doctor.wire import open_wire
from fal_async.cli.interrupts import run_until_interrupted
from fal_async.cli.messages import PROGRAM, fail, say
from fal_async.cli.output import OutputLostError, forget_standard_output, put, put_error, put_line
from fal_async.cli.screen import Screen, is_live
from fal_async.environment import from_env
from fal_async.errors import ConfigurationError, FalError

_VERB = "doctor --live"
_LIMIT = 30.0
"""Seconds of one HTTP request."""
_NEEDED = frozenset({"key", "proxies", "variables"})
"""Topics whose problems would fail the requests."""
_SERVICES = frozenset({"queue", "platform", "rest"})
"""Services without which few questions can be asked."""
_LEAVING = "ending the requests that still run on fal. Press Ctrl-C again to exit at once"


def ask_fal(options: argparse.Namespace) -> int:
    """Print the report, ask the questions if the user agrees, and return the exit status."""
    try:
        plan = plan_of(options.endpoint, options.input, options.realtime)
        if not options.yes and not can_confirm():
            raise ConfigurationError(
                "this sends requests that are billed, and no terminal can ask you: pass --yes. Nothing was sent"
            )
    except ConfigurationError as error:
        put_error(_VERB, error, as_json=options.json)
        return exits.USAGE
    try:
        return run_until_interrupted(_ask_fal(options, plan), _LEAVING)
    except FalError as error:
        put_error(_VERB, error, as_json=options.json)
        return exits.of_error(error)
    except OutputLostError as error:
        forget_standard_output()
        return fail(_VERB, str(error))


async def _ask_fal(options: argparse.Namespace, plan: Plan) -> int:
    findings = await examine(dict(os.environ), options.ledger)
    if not options.json:
        put_line(text_of(findings, time.time()) + "\n")
    outcome = await _outcome(options, plan, findings)
    if options.json:
        live = None if outcome is None else outcome_document(outcome)
        put({**document_of(findings, time.time()), "live": live})
    elif outcome is not None:
        put_line(table_of(outcome))
    return _status(findings, outcome)


async def _outcome(options: argparse.Namespace, plan: Plan, findings: Sequence[Finding]) -> Outcome | None:
    """Return what came of the questions; None if they were not asked."""
    if any(_hinders(finding) for finding in problems(findings)):
        say(f"{PROGRAM} {_VERB}: nothing was sent, because of the problems in the report")
        return None
    async with open_wire(from_env(), _LIMIT) as wire:
        say(await announcement(plan, wire))
        if not options.yes and not await confirmed():
            say("nothing was sent")
            return None
        requests = LiveRequests(wire, plan.endpoint, plan.body, options.patience, plan.realtime)
        answers: list[Answer] = []
        running: list[str] = []
        try:
            answers = await _answers(requests)
        finally:
            running = await requests.end_all()
            _report_left(requests, running)
        return Outcome(
            endpoint_id=plan.endpoint.full,
            queue=wire.settings.hosts.queue,
            submitted=len(requests.submitted),
            units=_units(requests),
            answers=tuple(answers),
            running=tuple(running),
            uncertain=tuple(requests.uncertain),
        )


def _hinders(problem: Finding) -> bool:
    return problem.topic in _NEEDED or bool(_SERVICES.intersection(problem.facts.get("services", ())))


async def _answers(requests: LiveRequests) -> list[Answer]:
    if not is_live(sys.stderr):
        return await answers_to(Observations(requests), QUESTIONS)
    screen = Screen(sys.stderr, live=True)
    try:
        return await answers_to(
            Observations(requests), QUESTIONS, lambda question: screen.show(question.asks)
        )
    finally:
        screen.end()


def _report_left(requests: LiveRequests, running: Sequence[str]) -> None:
    """Print what a person must look after, also if the command was interrupted."""
    for request_id in running:
        say(f"{PROGRAM} {_VERB}: request {request_id} of {requests.endpoint.full} may still run")
    for words in requests.uncertain:
        say(f"{PROGRAM} {_VERB}: a request may run and be billed: {words}")


def _units(requests: LiveRequests) -> tuple[str, ...]:
    units = {
        response.request_id or str(number): response.headers["x-fal-billable-units"]
        for number, (operation, response) in enumerate(requests.responses)
        if operation == "result" and "x-fal-billable-units" in response.headers
    }
    return tuple(units.values())


def _status(findings: Sequence[Finding], outcome: Outcome | None) -> int:
    if outcome is None:
        return status_of(findings) or exits.FAILED
    if outcome.uncertain:
        return exits.UNCERTAIN
    if outcome.running or outcome.count(Verdict.DIFFERS):
        return status_of(findings) or exits.FAILED
    return status_of(findings)
