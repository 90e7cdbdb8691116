"""Answers calls of `/_emulator`, without a key.

A page in a browser on the same machine could call it as well, so requests from pages of other origins are refused.
"""

from __future__ import annotations

import inspect
import json

from aiohttp import web

from fal_async.emulator.admin import (
    account_routes,
    catalog_routes,
    change_routes,
    clock_routes,
    endpoint_routes,
    fault_routes,
    file_routes,
    job_routes,
    outage_routes,
    page_routes,
    request_routes,
    scope_routes,
    webhook_routes,
)
from fal_async.emulator.admin.order import OF_SCOPES, Order, Routes, find
from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.downtime import Downtime
from fal_async.emulator.registration import Registration
from fal_async.emulator.wire.answers import Answer, json_answer, request_error
from fal_async.emulator.wire.foreign_pages import foreign_page

ROUTES: Routes = {
    **change_routes.ROUTES,
    **job_routes.ROUTES,
    **catalog_routes.ROUTES,
    **fault_routes.ROUTES,
    **endpoint_routes.ROUTES,
    **file_routes.ROUTES,
    **request_routes.ROUTES,
    **outage_routes.ROUTES,
    **account_routes.ROUTES,
    **webhook_routes.ROUTES,
    **scope_routes.ROUTES,
    **clock_routes.ROUTES,
    **page_routes.ROUTES,
}


class Admin:
    def __init__(self, registration: Registration, downtime: Downtime) -> None:
        self._registration, self._downtime = registration, downtime

    async def __call__(self, core: Core, call: Call) -> Reply:
        found = find(ROUTES, call.request.method, call.route.rest)
        if found is None:
            served = ", ".join(f"{method} /_emulator/{path}".rstrip("/") for method, path in ROUTES)
            return request_error(404, f"Expected one of {served}")
        action, name = found
        if "scope" in call.query and (call.request.method, call.route.rest) not in OF_SCOPES:
            paths = ", ".join(sorted({path for _, path in OF_SCOPES} - {""}))
            return request_error(400, f"scope= has no effect on {call.route.rest}, only on {paths}")
        if action is not page_routes.asset and (wrong := foreign_page(call.headers)) is not None:
            return request_error(403, f"/_emulator refuses pages of other origins: {wrong}")
        try:
            wanted = json.loads(call.body) if call.body.strip() else {}
            value = action(
                Order(
                    core=core,
                    registration=self._registration,
                    downtime=self._downtime,
                    call=call,
                    wanted=wanted,
                    name=name,
                )
            )
            value = await value if inspect.isawaitable(value) else value
        except KeyError as error:
            return request_error(400, f"{error} is missing, or unknown to the emulator")
        except (ValueError, TypeError, AttributeError) as error:
            return request_error(400, f"{type(error).__name__}: {error}")
        if isinstance(value, web.StreamResponse):
            return value
        answer = value if isinstance(value, Answer) else json_answer(value)
        return Answer(answer.status, {**page_routes.DATA_HEADERS, **answer.headers}, answer.body)
