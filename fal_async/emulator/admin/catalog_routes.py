"""`/_emulator/endpoints`: what is served, with schemas."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.core import Core
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.operations.application_schemas import paths_of
from fal_async.emulator.operations.openapi import openapi_document
from fal_async.emulator.operations.platform.model_list import described
from fal_async.emulator.wire.answers import Answer, json_answer, request_error

_METADATA = ("display_name", "category", "description", "status")


def _endpoints(order: Order) -> list[dict[str, Any]]:
    served = sorted(order.core.endpoints, key=lambda one: one.endpoint_id)
    return [_line(order.core, one) for one in served]


def _line(core: Core, served: Served) -> dict[str, Any]:
    price = core.prices.find(served.endpoint_id)
    return {
        "endpoint_id": served.endpoint_id,
        "runners": served.runners,
        "public": served.public,
        "price": None if price is None else price.unit_price,
        "unit": None if price is None else price.unit,
        "is_application": not isinstance(served, Endpoint),
        "streams": isinstance(served, Endpoint) and served.streams,
        "description": described(served),
        **{name: served.metadata[name] for name in _METADATA if name in served.metadata},
    }


async def _one(order: Order) -> Answer:
    """Return one endpoint, or one path of an application, with its OpenAPI document; null if it has none."""
    served = order.core.endpoints.serving(order.name)
    if served is None:
        return request_error(404, f"the emulator serves no endpoint {order.name}")
    about = {
        **_line(order.core, served),
        "endpoint_id": order.name,
        "app_id": served.endpoint_id,
        "paths": await paths_of(order.core, served) if isinstance(served, Mount) else [],
        "openapi": await openapi_document(order.core, order.name),
    }
    return json_answer(about)


ROUTES: Routes = {("GET", "endpoints"): _endpoints, ("GET", "endpoints/*"): _one}
