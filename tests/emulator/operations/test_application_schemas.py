"""OpenAPI documents of mounted applications (protocol 11.6), from what the applications say about themselves."""

from __future__ import annotations

from typing import Any, Literal

import aiohttp.web
import pytest
from fastapi import FastAPI
from openapi_spec_validator import OpenAPIV30SpecValidator
from pydantic import BaseModel, Field

from tests.emulator.caller import Caller
from tests.emulator.sample_apps import served

PATH = "/fal.ai/api/openapi/queue/openapi.json"


class Size(BaseModel):
    width: int = Field(512, gt=0)
    height: int | None = None


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Prompt(BaseModel):
    """What to draw."""

    prompt: str = Field(min_length=1)
    size: Size = Size(width=512)
    style: Literal["photo", "drawing"] = "photo"
    tree: Tree | None = None


class Picture(BaseModel):
    url: str
    size: Size


def drawing() -> FastAPI:
    app = FastAPI()

    @app.post("/")
    async def draw(prompt: Prompt) -> Picture:
        return Picture(url="", size=prompt.size)

    @app.post("/trees/oak")
    async def plant(tree: Tree) -> Tree:
        return tree

    @app.post("/any")
    async def anything() -> Any:
        return None

    @app.get("/health")
    async def health() -> None:
        return None

    return app


async def document(caller: Caller, endpoint_id: str) -> Any:
    reply = await caller.get(PATH, params={"endpoint_id": endpoint_id}, headers={})
    assert reply.status == (404 if reply.data is None else 200)
    if reply.data is not None:
        OpenAPIV30SpecValidator(reply.data).validate()
    return reply.data


async def test_a_mounted_app_has_the_document_that_fal_makes_of_its_own_one(caller: Caller) -> None:
    caller.emulator.mount("me/draw", drawing())
    found = await document(caller, "me/draw")
    assert set(found["paths"]) == {
        "/me/draw",
        "/me/draw/requests/{request_id}",
        "/me/draw/requests/{request_id}/cancel",
        "/me/draw/requests/{request_id}/status",
    }
    body = found["paths"]["/me/draw"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Prompt"}
    schemas = found["components"]["schemas"]
    assert schemas["Prompt"]["required"] == ["prompt"]
    assert schemas["Prompt"]["properties"]["size"]["default"] == {"width": 512}
    assert schemas["Size"]["properties"]["height"]["nullable"] is True
    assert "HTTPValidationError" not in schemas
    result = found["paths"]["/me/draw/requests/{request_id}"]["get"]["responses"]["200"]
    assert result["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Picture"}


async def test_a_path_of_a_mounted_app_has_its_own_document_even_if_its_schema_is_recursive(
    caller: Caller,
) -> None:
    caller.emulator.mount("me/draw", drawing())
    found = await document(caller, "me/draw/trees/oak")
    assert "/me/draw/trees/oak" in found["paths"]
    assert found["components"]["schemas"]["Tree"]["required"] == ["name"]
    assert (await document(caller, "me/draw/any"))["components"]["schemas"]["DrawAnyInput"] == {
        "type": "object"
    }


@pytest.mark.parametrize("path", ["/nothing", "/health", "/trees"])
async def test_a_path_that_a_mounted_app_does_not_serve_by_post_has_no_document(
    caller: Caller, path: str
) -> None:
    caller.emulator.mount("me/draw", drawing())
    assert await document(caller, f"me/draw{path}") is None


async def test_the_document_of_a_mounted_url_is_made_and_an_endpoint_of_its_id_takes_precedence(
    caller: Caller,
) -> None:
    async def own(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.json_response(drawing().openapi())

    app = aiohttp.web.Application()
    app.router.add_get("/base/openapi.json", own)
    async with served(app) as url:
        caller.emulator.mount("me/draw", f"{url}/base")
        assert "Prompt" in (await document(caller, "me/draw"))["components"]["schemas"]

        @caller.emulator.endpoint("me/draw")
        async def draw(input: Any) -> Any:
            return input

        assert "Prompt" not in (await document(caller, "me/draw"))["components"]["schemas"]


@pytest.mark.parametrize("said", ["", "[]", "{", '{"paths": []}', '{"paths": {"/": {"post": 5}}}', None])
async def test_an_app_that_describes_itself_wrongly_or_not_at_all_has_no_document(
    caller: Caller, said: str | None
) -> None:
    async def own(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(text=said)

    app = aiohttp.web.Application()
    if said is not None:
        app.router.add_get("/openapi.json", own)
    async with served(app) as url:
        caller.emulator.mount("me/draw", url)
        assert await document(caller, "me/draw") is None
    assert await document(caller, "me/draw") is None  # and the connection is refused


async def test_the_model_list_and_the_page_show_the_document_of_a_mounted_app(caller: Caller) -> None:
    caller.emulator.mount("me/draw", drawing())
    caller.emulator.mount("me/silent", FastAPI(openapi_url=None))
    query = [("endpoint_id", "me/draw"), ("endpoint_id", "me/silent"), ("expand", "openapi-3.0")]
    models = (await caller.get("/api.fal.ai/v1/models", params=query)).data["models"]
    shown = {model["endpoint_id"]: model["openapi"] for model in models}
    assert shown["me/draw"] == await document(caller, "me/draw")
    assert shown["me/silent"]["error"]["code"] == "expansion_failed"
    page = await caller.get("/_emulator/endpoints/me/draw")
    assert page.data["openapi"] == shown["me/draw"]
