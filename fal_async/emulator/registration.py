"""What the emulator serves: the part of `Emulator` that takes in models and whole applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fal_async.emulator.apps.interface import Mount
from fal_async.emulator.core import Core
from fal_async.emulator.jobs.endpoints import Endpoint, EndpointFunction, check_app_id, check_function
from fal_async.emulator.jobs.realtime_options import RealtimeOptions
from fal_async.emulator.jobs.served import check_runners

F = TypeVar("F", bound=EndpointFunction)


class Registration:
    def __init__(self, core: Core, runners: int) -> None:
        """`runners`: of what does not say how many it has."""
        self._core = core
        self._default_runners = runners

    def endpoint(
        self,
        endpoint_id: str,
        *,
        runners: int | None = None,
        public: bool = False,
        ignores_cancel: bool = False,
        log_window: int | None = None,
        log_labels: bool = False,
        billable_units: float = 1,
        input_schema: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | None = None,
        realtime: RealtimeOptions | None = None,
    ) -> Callable[[F], F]:
        """Serve an async function `(input)` or `(input, job)` under this id; the options are `Endpoint`'s.

        An async generator streams: under `/stream` its values are events (`bytes`: chunks of a binary body;
        `Event`: an event with more than data); called plainly or through the queue, its last value is the
        result. Under `/realtime` each input of a session gets one answer, or all that a generator yields.
        """

        def register(function: F) -> F:
            self._core.endpoints.add(
                Endpoint(
                    endpoint_id=endpoint_id,
                    function=function,
                    takes_job=check_function(function),
                    runners=self._default_runners if runners is None else runners,
                    public=public,
                    ignores_cancel=ignores_cancel,
                    log_window=log_window,
                    log_labels=log_labels,
                    billable_units=billable_units,
                    input_schema=input_schema,
                    output_schema=output_schema,
                    realtime=realtime or RealtimeOptions(),
                )
            )
            return function

        return register

    def mount(
        self,
        app_id: str,
        application: Callable[[Any, Any, Any], Awaitable[None]] | str,
        *,
        runners: int | None = None,
        public: bool = False,
        ignores_cancel: bool = False,
        billable_units: float = 1,
    ) -> None:
        """Put a whole application behind the queue, under `owner/app`: every path below is its own.

        `application`: an ASGI application (FastAPI, Starlette, ...), which is called in this process and whose
        lifespan is the emulator's; or the base URL of one that runs by itself, `http://127.0.0.1:8000`.
        A submit or a call of `owner/app/sub/path` is one of `/sub/path`, when one of `runners` is free, which
        all paths share. It is not sped up by `speed`. What it answers is the result; the header
        `x-fal-billable-units` says what it costs, otherwise `billable_units`.
        A cancel is told by `POST {path}/cancel` with the same `x-fal-request-id`; an application that does not
        take it is cut off, unless it `ignores_cancel`.
        An endpoint with the exact id wins. TypeError or ValueError says what the arguments should have been.
        """
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
