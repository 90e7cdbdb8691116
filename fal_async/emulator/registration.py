"""The part of `Emulator` that registers models and whole applications.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from fal_async.emulator.accounts.prices import UNIT, price_of
from fal_async.emulator.accounts.workflow_store import Workflow
from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.builtin.painters import Painter
from fal_async.emulator.core import Core
from fal_async.emulator.event_loop import called_in_loop
from fal_async.emulator.jobs.endpoints import Endpoint, EndpointFunction, check_app_id, check_function
from fal_async.emulator.jobs.polls import Polls
from fal_async.emulator.jobs.realtime_options import RealtimeOptions
from fal_async.emulator.jobs.served import check_runners
from fal_async.emulator.schemas.endpoint_parts import builtin_parts, endpoint_parts
from fal_async.emulator.schemas.model_document import Document, read_document
from fal_async.emulator.schemas.sample_model import SampleModel
from fal_async.emulator.workflows.definition import read_definition
from fal_async.emulator.workflows.workflow_endpoint import (
    NAMESPACE,
    check_workflow_id,
    serve_ad_hoc,
    serve_workflow,
)

F = TypeVar("F", bound=EndpointFunction)


class Registration:
    """The methods of `Emulator` that register endpoints and applications."""

    def __init__(self, core: Core, runners: int, paint: Painter) -> None:
        """Store the default of `runners`, and what draws the pictures of models that are made of documents."""
        self._core, self._loop, self._paint = core, core.loop, paint
        self._default_runners = runners
        serve_ad_hoc(core)

    def endpoint(
        self,
        endpoint_id: str,
        *,
        runners: int | None = None,
        public: bool = False,
        ignores_cancel: bool = False,
        log_window: int | None = None,
        log_labels: bool = False,
        polls: Polls | None = None,
        billable_units: float = 1,
        price: Decimal | float | str | None = None,
        unit: str = UNIT,
        metadata: Mapping[str, Any] | None = None,
        input_schema: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | None = None,
        openapi: Document | None = None,
        realtime: RealtimeOptions | None = None,
    ) -> Callable[[F], F]:
        """Serve the decorated function under an endpoint id.

        The function is async and takes `(input)` or `(input, job)`, where `job` is a `JobContext`. Its return value
        is the result: a `str` is sent as text, `bytes` as a binary body, an `Answer` unchanged, and any other value
        as JSON. The function raises `ModelError` to fail as a model on fal does. Any other exception is logged, and
        the caller gets a 500.

        An async generator function is a model that streams. Under `/stream`, each value that it yields is an event,
        `bytes` are chunks of a binary body, and an `Event` sets more than the data of an event. Called directly or
        through the queue, its last value is the result (`bytes` are joined). Under `/realtime`, each input of a
        session gets one answer from a function, and all yielded values from a generator.

        If the annotation of `input` is an attrs class, a dataclass, a TypedDict, a msgspec Struct or a pydantic
        model, its schema is that of the input: an input that does not fit gets 422 with fal's entries (protocol
        9.1), and the function gets an instance. In the same way the type of the return value (of a generator, that
        of its values) is the schema of the result, and instances of it are sent as JSON.

        A second registration under the same id replaces the first, as a new deployment on fal does.

        Args:
            endpoint_id: `owner/app` or `owner/app/path`; the owner has no dot, the path no segment `requests`.
            runners: how many requests run at a time; further ones wait. None (default): the emulator's `runners`.
            public: whether calls without a key are accepted (protocol 1.2); default False.
            ignores_cancel: whether a running request continues after a cancel, and completes (protocol 4.5);
                default False.
            log_window: how many log entries a polled status has: the latest ones (protocol 4.2). None (default):
                all.
            log_labels: whether log entries have `labels: {level, source}`, as the Swift and Java clients expect
                (protocol 4.2); default False: level and source are fields of the entry.
            polls: how many status requests see a queued request in each state, so that a test does not depend on
                time: `Polls(queued=2, running=1)`. Then `job.sleep` of such a request takes no time, and `runners`
                limits direct calls only. None (default): the states depend on time and on the runners.
            billable_units: `x-fal-billable-units` of a success, unless the function calls `job.bill`; default 1.
            price: US dollars for one billable unit, taken as it is written: 0.1 is exactly a tenth. None (default):
                the endpoint has no price, so its requests cost nothing, and the platform API does not know its
                price.
            unit: name of the billable unit, such as "image"; default "unit".
            metadata: members of the model's metadata in the platform API that differ from the usual ones, such as
                `{"category": "text-to-image", "status": "deprecated"}` (protocol 11.1). None (default): the
                description is the first line of the function's docstring, the category "other"; with `openapi`,
                those of the document.
            input_schema: JSON schema of the input. Inputs that do not fit it get 422, and the endpoint's OpenAPI
                document shows it (protocol 11.6). None (default): that of the function's type, else any value.
            output_schema: JSON schema of the result, for the document. None (default): that of the function's type,
                else any value.
            openapi: the OpenAPI document of a model, or the path of a JSON file with it, in place of both schemas:
                inputs are checked by it, and it is served as the endpoint's document. None (default): one is made.
            realtime: how sessions behave. None (default): `RealtimeOptions()`.

        Returns:
            A decorator that returns its function unchanged. It raises TypeError if the function is not async or
            does not take one or two positional arguments, or if its type has no JSON schema; ValueError if
            `endpoint_id` has another form, `runners` is below 1, `price` is not a number >= 0, `unit` is empty, or
            a schema or document can't be used; ModuleNotFoundError if a schema or type needs a package of
            `pip install 'fal-async[emulator]'`.

        Raises:
            OSError: If the file of `openapi` can't be read.
            ValueError: If `openapi` is not the document of a model, or is given with a schema.
        """
        if openapi is not None and (input_schema, output_schema) != (None, None):
            raise ValueError("openapi= has both schemas: use it without input_schema= and output_schema=")
        document = None if openapi is None else read_document(openapi, endpoint_id)
        told = {} if document is None else document.metadata
        cost = None if price is None else price_of(price, unit)

        def register(function: F) -> F:
            takes_job = check_function(function)
            frame = inspect.currentframe()
            local = {} if frame is None or frame.f_back is None else dict(frame.f_back.f_locals)
            schemas = endpoint_parts(endpoint_id, function, input_schema, output_schema, document, local)
            self._core.serve(
                Endpoint(
                    endpoint_id=endpoint_id,
                    function=function,
                    takes_job=takes_job,
                    runners=self._default_runners if runners is None else runners,
                    public=public,
                    ignores_cancel=ignores_cancel,
                    log_window=log_window,
                    log_labels=log_labels,
                    polls=polls,
                    billable_units=billable_units,
                    metadata=metadata or told,
                    realtime=realtime or RealtimeOptions(),
                    **schemas,
                ),
                cost,
            )
            return function

        return register

    def endpoint_from(
        self,
        openapi: Document,
        *,
        endpoint_id: str | None = None,
        seconds: float = 1.0,
        runners: int | None = None,
        public: bool = False,
        billable_units: float = 1,
        price: Decimal | float | str | None = None,
        unit: str = UNIT,
    ) -> str:
        """Serve a model by its OpenAPI document alone, as fal publishes it for each model (protocol 11.6).

        Inputs are checked as those of `endpoint(openapi=...)`. The output fits the document's schema, and is the
        same for the same input. Its files are real pictures, sounds and films, which follow `num_images`,
        `image_size`, `aspect_ratio`, `seed` and `sync_mode` of the input; members that the input has too, such as
        `prompt`, are repeated.

        Args:
            openapi: the OpenAPI document; or `{"endpoint_id", "input", "output"}` with two JSON schemas, as
                `fal-async schema ID --json` prints; or the path of a JSON file with one of them.
            endpoint_id: id under which it is served. None (default): the document's own.
            seconds: how long a request takes, divided by the emulator's `speed`; default 1.
            runners: how many requests run at a time. None (default): the emulator's `runners`.
            public: whether calls without a key are accepted; default False.
            billable_units: `x-fal-billable-units` of a success; default 1.
            price: US dollars for one billable unit, as of `endpoint`. None (default): no price.
            unit: name of the billable unit; default "unit".

        Returns:
            The endpoint id.

        Raises:
            ModuleNotFoundError: If jsonschema is missing, which `pip install 'fal-async[emulator]'` installs.
            OSError: If the file can't be read.
            ValueError: If it is not the document of a model, if no output can be made that fits its schema, or if
                another argument is out of range.
        """
        document = read_document(openapi, endpoint_id)
        cost = None if price is None else price_of(price, unit)
        model = SampleModel(document, seconds, self._paint)
        endpoint = Endpoint(
            endpoint_id=document.endpoint_id,
            function=model,
            takes_job=True,
            runners=self._default_runners if runners is None else runners,
            public=public,
            billable_units=billable_units,
            metadata=document.metadata,
            **endpoint_parts(document.endpoint_id, model, None, None, document, {}),
        )
        self._core.serve(endpoint, cost)
        return document.endpoint_id

    def workflow(self, workflow_id: str, contents: Mapping[str, Any], *, title: str | None = None) -> str:
        """Serve a workflow: run, queue and stream of `workflows/{owner}/{name}` (protocol 15.1).

        Each node that calls an endpoint becomes a request of its own, of the caller's account, with its own id and
        cost; the workflow's own request costs nothing. The steps begin as soon as the outputs that they refer to
        exist. A failed step ends the workflow with its status and body, and its other steps are cancelled.

        Args:
            workflow_id: `owner/name`, such as "me/story"; "workflows/" in front of it is allowed.
            contents: the definition, as fal saves it: `nodes` by name, and `output`, an object with references such
                as "$node.images.0.url" (protocol 15.3). `schema`, with the fields of the input and their defaults,
                and `name`, `version` and `metadata` may be missing.
            title: its title in the platform API. None (default): its name.

        Returns:
            The endpoint id, such as "workflows/me/story".

        Raises:
            ValueError: If the id has another form; if a reference names a node that does not exist, or nodes need
                each other's outputs; or if the definition has another form.
        """
        workflow_id = workflow_id.removeprefix(NAMESPACE)
        check_workflow_id(workflow_id)
        read_definition(contents)
        owner, _, name = workflow_id.partition("/")
        schema = {"input": {}, "output": {}, **(contents.get("schema") or {})}
        whole = {"name": name, "version": "1.0.0", **contents, "schema": schema}
        workflow = Workflow(
            owner=owner,
            name=name,
            title=title or name,
            contents=whole,
            is_public=True,
            created_at=self._core.clock.now(),
        )
        return serve_workflow(self._core, workflow, listed=True)

    def _serve_builtin(
        self,
        endpoint_id: str,
        function: EndpointFunction,
        *,
        input_schema: Mapping[str, Any],
        output_schema: Mapping[str, Any],
        price: str | None = None,
        unit: str = UNIT,
        **options: Any,
    ) -> None:
        endpoint = Endpoint(
            endpoint_id=endpoint_id,
            function=function,
            takes_job=check_function(function),
            runners=self._default_runners,
            **options,
            **builtin_parts(endpoint_id, input_schema, output_schema),
        )
        self._core.serve(endpoint, None if price is None else price_of(price, unit))

    @called_in_loop
    def mount(
        self,
        app_id: str,
        application: Callable[[Any, Any, Any], Awaitable[None]] | str,
        *,
        runners: int | None = None,
        public: bool = False,
        ignores_cancel: bool = False,
        billable_units: float = 1,
        price: Decimal | float | str | None = None,
        unit: str = UNIT,
    ) -> None:
        """Serve a whole application under `owner/app`, with every path below it, behind the queue.

        A submit or call of `owner/app/sub/path` is sent to `/sub/path` of the application as soon as a runner is
        free; all paths share the runners. The application's answer is the result. `speed` has no effect on the
        application.

        To cancel a running request, the emulator sends `POST {path}/cancel` with the same `x-fal-request-id`. If
        the application answers with 2xx, its call has 5 s to return; otherwise the call is aborted at once. With
        `ignores_cancel` it is never aborted.

        An endpoint that is registered with the exact id takes precedence. A second application under the same id
        replaces the first.

        Args:
            app_id: `owner/app`, or `namespace/owner/app` for workflows and comfy; the owner has no dot.
            application: an ASGI application (FastAPI, Starlette, ...), which uvicorn serves in this process, in the
                emulator's event loop. It starts and stops with the emulator (at once if the emulator is already
                running). Or the base URL of one that runs separately, such as `http://127.0.0.1:8000`.
            runners: how many requests run at a time. None (default): the emulator's `runners`.
            public: whether calls without a key are accepted (protocol 1.2); default False.
            ignores_cancel: whether a cancelled call is left to run, although the application is notified of the
                cancel; default False.
            billable_units: `x-fal-billable-units` of a success whose answer does not have this header; default 1.
            price: US dollars for one billable unit of every path, as of `endpoint`. None (default): no price.
            unit: name of the billable unit; default "unit".

        Raises:
            TypeError: If `application` is neither an ASGI application nor a str.
            ModuleNotFoundError: If it is an ASGI application and the package `uvicorn` is missing.
            ValueError: If `app_id` or the base URL does not have the expected form, `runners` is below 1, `price`
                is not a number >= 0, or `unit` is empty.
        """
        cost = None if price is None else price_of(price, unit)
        check_app_id(app_id)
        check_runners(wanted := self._default_runners if runners is None else runners)
        mount = Mount(
            endpoint_id=app_id,
            application=self._core.mounts.take(application),
            runners=wanted,
            public=public,
            runs_on=ignores_cancel,
            billable_units=billable_units,
        )
        self._core.endpoints.mount(mount)
        self._core.prices.set(app_id, cost)
        self._core.begin_waiting(mount)

    def price(
        self, endpoint_id: str, price: Decimal | float | str | None, *, unit: str | None = None
    ) -> None:
        """Set the price of an endpoint or application from now on; requests that have ended keep theirs.

        Args:
            endpoint_id: id under which it is registered.
            price: US dollars for one billable unit, as of `endpoint`. None: no price.
            unit: name of the billable unit, such as "image". None (default): the one that it had, else "unit".

        Raises:
            KeyError: If no endpoint or application is registered under the id.
            ValueError: If `price` is not a number >= 0, or `unit` is empty.
        """
        self._core.reprice(endpoint_id, price, unit)
