"""A shop whose orders are paid for once: served within a test, and by separate uvicorn workers."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response

from fal_async import Session
from fal_async.integrations.fastapi import (
    Fal,
    exception_handlers,
    fal_lifespan,
    idempotency_key,
    sse_response,
)


def signed_in(request: Request) -> str:
    return request.headers.get("X-User", "anna")


OrderKey = Annotated[str, Depends(idempotency_key(scope=signed_in))]


def shop(ledger: str, **settings: Any) -> FastAPI:
    app = FastAPI(
        lifespan=fal_lifespan(lambda: Session(ledger=ledger, **settings)),
        exception_handlers=exception_handlers,
    )

    @app.post("/orders/{model}")
    async def order(model: str, input: dict[str, Any], key: OrderKey, fal: Fal, timeout: float = 60) -> Any:
        result = await fal.subscribe(f"me/{model}", input, key=key, timeout=timeout)
        return {"data": result.data, "pid": os.getpid(), "request_id": result.request_id}

    @app.post("/live/{model}")
    async def live(model: str, key: OrderKey, request: Request, fal: Fal) -> Response:
        return await sse_response(request, lambda: fal.queue.submit(f"me/{model}", {"a": 1}, key=key))

    return app


def from_environment() -> FastAPI:
    """Make the application for `uvicorn --factory`: FAL_BASE_URL and FAL_KEY configure the session."""
    return shop(os.environ["SHOP_LEDGER"])
