"""One run of a workflow: each step is a job of the endpoint that it calls (protocol 15.2, 15.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from graphlib import TopologicalSorter
from typing import Any

import attrs

from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.core import Core
from fal_async.emulator.faults.choice import MEMBER, BadChoice, Choice, read_choice
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import COMPLETED, Job, JobContext, Work
from fal_async.emulator.jobs.options import CallOptions
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.wire.answers import Answer, json_answer, request_error, value_of
from fal_async.emulator.workflows.definition import Definition, Node
from fal_async.emulator.workflows.mounted_step import MountedStep
from fal_async.emulator.workflows.references import INPUT, NoValue, filled

_NO_RETRY = {"X-Fal-Needs-Retry": "0"}
"""Steps are retried like other requests. Retrying the workflow would pay for its other steps again."""


class StepFailed(Exception):
    """Raised inside of a run when a step has failed, or can't be begun."""

    def __init__(self, node_id: str, answer: Answer, message: str) -> None:
        super().__init__(message)
        self.node_id: str = node_id
        self.answer: Answer = answer
        self.message: str = message


@attrs.define(eq=False, kw_only=True)
class WorkflowRun:
    """A run.

    Attributes:
        core: the parts of the emulator.
        job: the workflow's own job.
        context: its context.
        definition: the definition.
        values: the outputs of the nodes so far by name, and the workflow's input.
    """

    core: Core
    job: Job
    context: JobContext
    definition: Definition
    values: dict[str, Any]
    _order: TopologicalSorter[str] = attrs.field(init=False)
    _running: dict[str, Job] = attrs.field(factory=dict, init=False)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._order = self.definition.order()

    async def events(self) -> AsyncGenerator[Any, None]:
        """Yield the events of the stream, and at last the answer of a direct call. Steps end with the run."""
        if (refused := self._refusal()) is not None:
            yield refused
            return
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    yield event
            output = self._filled("output", self.definition.output)
            yield {"type": "output", "output": output}
            yield json_answer(output)
        except StepFailed as failure:
            error = {"status": failure.answer.status, "body": value_of(failure.answer)}
            yield {"type": "error", "node_id": failure.node_id, "message": failure.message, "error": error}
            yield failure.answer.with_headers(_NO_RETRY)
        finally:
            for step in self._running.values():
                step.unwatch(self._changed)
                self.core.runners.of(step.served, step.account).stop(step, "client_cancelled")

    async def _events(self) -> AsyncGenerator[dict[str, Any], None]:
        while self._order.is_active():
            for node_id in self._order.get_ready():
                node = self.definition.nodes[node_id]
                if node.app is None:
                    content = f"${INPUT}" if node.content is None else node.content
                    self._end(node_id, self._filled(node_id, content))
                else:
                    yield self._begin(node, node.app)
            if self._running:
                await self._one_has_ended()
                for event in self._ended():
                    yield event

    def _refusal(self) -> Answer | None:
        """Return the answer if an endpoint is unknown, or calls itself: nothing is begun, and paid, then."""
        callers = set(self._callers())
        for app, node_id in self.definition.apps.items():
            if self.core.endpoints.serving(app) is None:
                missing = self.core.endpoints.missing(app)
                return _explained(missing, f"which the node {node_id} of {self.job.endpoint_id} calls")
            if app in callers:
                return request_error(
                    422, f"The node {node_id} calls {app}, which runs this workflow: it would never end"
                )
        return None

    def _callers(self) -> Iterator[str]:
        """Yield the workflow, and those of which it is a step."""
        job: Job | None = self.job
        while job is not None:
            yield job.endpoint_id
            job = self.core.jobs.by_id.get(job.workflow_request_id or "")

    def _begin(self, node: Node, app: str) -> dict[str, Any]:
        """Begin a step, and return its event."""
        input = self._filled(node.node_id, node.content)
        choice = _choice_in(input, node.node_id)
        step = self._earlier(node, app, input)
        if step is None or step.state != COMPLETED or step.failed:
            step = self._submitted(node, app, input, choice, step)
        self._running[node.node_id] = step
        step.watch(self._changed)
        return {"type": "submit", "node_id": node.node_id, "app_id": app, "request_id": step.request_id}

    def _earlier(self, node: Node, app: str, input: Any) -> Job | None:
        """Return the same step of an earlier attempt of the request. If it has succeeded, it is not paid again."""
        step = self.core.jobs.by_id.get(self.job.steps.get(node.node_id, ""))
        return step if step is not None and (step.endpoint_id, step.input) == (app, input) else None

    def _submitted(self, node: Node, app: str, input: Any, choice: Choice | None, earlier: Job | None) -> Job:
        served = self.core.endpoints.serving(app)
        if served is None:
            raise StepFailed(node.node_id, self.core.endpoints.missing(app), f"{app} is no longer served")
        if (refused := self.job.account.refusal("submit")) is not None:
            raise StepFailed(node.node_id, refused, f"The step {node.node_id} was refused by {app}")
        step = self.core.jobs.open(
            served,
            app,
            input,
            via="queue",
            options=_options_of_step(self.job.options),
            headers=self.job.headers,
            origin=self.job.origin,
            credential=self.job.credential,
            choice=choice,
            workflow_request_id=self.job.request_id,
            steps={} if earlier is None else earlier.steps,
        )
        self.job.steps = {**self.job.steps, node.node_id: step.request_id}
        self.core.runners.of(served, step.account).enter(step, self._work_of(served, step))
        return step

    def _work_of(self, served: Served, step: Job) -> Work:
        if isinstance(served, Mount):
            return MountedStep(mounts=self.core.mounts, mount=served, job=step).work
        if isinstance(served, Endpoint):
            return served.call
        raise TypeError(f"{served.endpoint_id} is neither an endpoint nor a mounted application")

    async def _one_has_ended(self) -> None:
        while not any(step.state == COMPLETED for step in self._running.values()):
            self._changed.clear()
            await self.context.wait_for(self._changed.wait())

    def _ended(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the steps that have ended."""
        for node_id, step in list(self._running.items()):
            if step.state != COMPLETED or step.answer is None:
                continue
            step.unwatch(self._changed)
            del self._running[node_id]
            if step.failed:
                what = f"request {step.request_id} of {step.endpoint_id}"
                said = f"The step {node_id} failed: {what} ended with status {step.answer.status}"
                raise StepFailed(node_id, step.answer, said)
            output = value_of(step.answer)
            self._end(node_id, output)
            yield {"type": "completion", "node_id": node_id, "app_id": step.endpoint_id, "output": output}

    def _end(self, node_id: str, output: Any) -> None:
        self.values[node_id] = output
        self._order.done(node_id)

    def _filled(self, node_id: str, content: Any) -> Any:
        try:
            return filled(content, self.values)
        except NoValue as error:
            entry = {"loc": ["body", node_id], "msg": str(error), "type": "value_error", "input": content}
            raise StepFailed(node_id, json_answer({"detail": [entry]}, 422), str(error)) from None


def _choice_in(input: Any, node_id: str) -> Choice | None:
    """Take what a step chooses for itself out of its input, as a request does (`fal_async/emulator/TESTING.md`)."""
    member = input.pop(MEMBER, None) if isinstance(input, dict) else None
    try:
        return read_choice("submit", None, member)
    except BadChoice as error:
        answer = request_error(400, f"{MEMBER}: {error}", "bad_request")
        raise StepFailed(node_id, answer, f"The step {node_id} can't be begun: {MEMBER}: {error}") from None


def _options_of_step(options: CallOptions) -> CallOptions:
    """Return what applies to the steps as well: the lifecycle of files, storing, tags, priority, retries."""
    return attrs.evolve(options, start_timeout=None, max_queue_length=None, hint=None, webhook_url=None)


def _explained(answer: Answer, why: str) -> Answer:
    return json_answer({"detail": f"{answer.document()['detail']}, {why}"}, answer.status)
