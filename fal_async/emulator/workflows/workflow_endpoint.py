"""Workflows as endpoints: saved ones, and `workflows/execute` (protocol 15.1)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from fal_async.emulator.accounts.workflow_store import Workflow
from fal_async.emulator.core import Core
from fal_async.emulator.jobs.endpoints import Endpoint, check_app_id
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.schemas.endpoint_parts import builtin_parts
from fal_async.emulator.wire.answers import ModelError, detail_entry, no_application
from fal_async.emulator.workflows.definition import Definition, DefinitionError, read_definition
from fal_async.emulator.workflows.field_schemas import defaults_of, object_schema
from fal_async.emulator.workflows.references import INPUT
from fal_async.emulator.workflows.workflow_run import WorkflowRun

NAMESPACE = "workflows/"
AD_HOC = f"{NAMESPACE}execute"
"""The endpoint that runs a workflow which the call itself defines."""
_RUNNERS = 100
"""How many runs of a workflow are followed at a time; only its steps use the runners of models."""
_AD_HOC_INPUT: Mapping[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "object"}, "workflow": {"type": "object"}},
    "required": ["workflow"],
}


class SavedWorkflow:
    """The function of a saved workflow's endpoint."""

    def __init__(self, core: Core, workflow: Workflow, definition: Definition) -> None:
        self._core, self._workflow, self._definition = core, workflow, definition
        self._defaults = defaults_of(workflow.contents["schema"]["input"])
        self.__doc__ = workflow.title

    async def __call__(self, input: Any, job: JobContext) -> AsyncGenerator[Any, None]:
        workflow = self._workflow
        caller = self._core.jobs.by_id[job.request_id].account.nickname
        if not workflow.is_public and caller != workflow.owner:
            yield no_application(workflow.name)
            return
        checked = {**self._defaults, **_object(input, "body")}
        async with aclosing(_events(self._core, self._definition, checked, job)) as events:
            async for event in events:
                yield event


class AdHocWorkflow:
    """Run the workflow in the input, `{"input": {...}, "workflow": {...}}`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def __call__(self, input: Any, job: JobContext) -> AsyncGenerator[Any, None]:
        members = _object(input, "body")
        try:
            definition = read_definition(members.get("workflow"))
        except DefinitionError as error:
            place = ("body", "workflow")
            raise ModelError(422, [detail_entry(place, str(error), "value_error", input)]) from None
        given = _object(members.get("input", {}), "body", "input")
        async with aclosing(_events(self._core, definition, given, job)) as events:
            async for event in events:
                yield event


def _events(
    core: Core, definition: Definition, input: Mapping[str, Any], context: JobContext
) -> AsyncGenerator[Any, None]:
    job = core.jobs.by_id[context.request_id]
    run = WorkflowRun(core=core, job=job, context=context, definition=definition, values={INPUT: input})
    return run.events()


def _object(input: Any, *place: str) -> Mapping[str, Any]:
    if not isinstance(input, dict):
        message = "Input should be a valid dictionary"
        raise ModelError(422, [detail_entry(place, message, "dict_type", input)])
    return input


def check_workflow_id(workflow_id: str) -> None:
    """Raise ValueError if a `str` has not the form `owner/name`, of which an endpoint id can be made."""
    try:
        check_app_id(f"{NAMESPACE}{workflow_id}")
    except ValueError:
        raise ValueError(
            f"{workflow_id!r} is not the id of a workflow: expected owner/name, such as me/story"
        ) from None


def serve_workflow(core: Core, workflow: Workflow, *, listed: bool) -> str:
    """Save a workflow, serve it, and return its endpoint id. One with the same owner and name is replaced.

    Args:
        core: the parts of the emulator.
        workflow: the workflow.
        listed: whether lists of endpoints have it, and `Emulator.verify` expects that it is called.

    Raises:
        DefinitionError: If its definition can't be run.
        ValueError: If owner or name can't be part of an endpoint id.
    """
    endpoint_id = f"{NAMESPACE}{workflow.owner}/{workflow.name}"
    check_workflow_id(f"{workflow.owner}/{workflow.name}")
    definition = read_definition(workflow.contents)
    schema = workflow.contents["schema"]
    parts = builtin_parts(endpoint_id, object_schema(schema["input"]), object_schema(schema["output"]))
    core.workflows.add(workflow)
    _serve(core, endpoint_id, SavedWorkflow(core, workflow, definition), listed=listed, **parts)
    return endpoint_id


def serve_ad_hoc(core: Core) -> None:
    """Serve `workflows/execute`, which lists of endpoints don't have."""
    _serve(core, AD_HOC, AdHocWorkflow(core), listed=False, **builtin_parts(AD_HOC, _AD_HOC_INPUT, {}))


def _serve(core: Core, endpoint_id: str, function: Any, *, listed: bool, **parts: Any) -> None:
    core.serve(
        Endpoint(
            endpoint_id=endpoint_id,
            function=function,
            takes_job=True,
            runners=_RUNNERS,
            billable_units=0,
            is_workflow=True,
            listed=listed,
            **parts,
        ),
        None,
    )
