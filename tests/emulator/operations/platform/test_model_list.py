"""`GET /models` of the platform API (protocol 11.1, 11.8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.caller import Caller
from tests.emulator.operations.platform.platform_caller import Platform, refused

FLUX = "fal-ai/flux/dev"


async def found(platform: Platform, **query: Any) -> list[str]:
    return [model["endpoint_id"] for model in await platform.listed("models", "models", **query)]


@pytest.fixture
def mine(caller: Caller) -> None:
    @caller.emulator.endpoint("me/upscaler", metadata={"category": "image-to-image", "status": "deprecated"})
    async def upscale(input: Any) -> Any:
        """Make a zebra larger.

        More text.
        """
        return input


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"q": "zebra"}, ["me/upscaler"]),
        ({"q": "ZEBRA larger"}, ["me/upscaler"]),
        ({"q": "zebra flux"}, []),
        ({"q": "text-to-image", "status": "deprecated"}, []),
        ({"q": "zebra", "category": "image-to-image"}, ["me/upscaler"]),
        ({"status": "deprecated"}, ["me/upscaler"]),
        ({"category": "training"}, ["fal-ai/flux-lora-fast-training"]),
        ({"category": "video"}, []),
        ({"endpoint_id": f"me/upscaler,{FLUX}"}, [FLUX, "me/upscaler"]),
        ({"endpoint_id": f"me/upscaler,{FLUX}", "q": "zebra"}, ["me/upscaler"]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("mine")
async def test_models_are_found_by_id_words_category_and_status(
    platform: Platform, query: dict[str, str], ids: list[str]
) -> None:
    assert await found(platform, **query) == ids


@pytest.mark.usefixtures("mine")
async def test_a_models_description_is_the_first_line_of_the_functions_docstring(platform: Platform) -> None:
    [model] = await platform.listed("models", "models", endpoint_id="me/upscaler")
    assert model["metadata"]["description"] == "Make a zebra larger."
    assert model["metadata"]["model_url"].endswith("/fal.run/me/upscaler")


async def test_models_need_no_key_and_show_favourites_only_to_known_callers(platform: Platform) -> None:
    for key, favorited in (("", None), (None, False)):
        [model] = await platform.listed("models", "models", key=key, endpoint_id=FLUX)
        assert model["metadata"]["is_favorited"] is favorited


async def test_a_key_that_models_does_not_need_is_checked_all_the_same(caller: Caller) -> None:
    reply = await caller.get("/api.fal.ai/v1/models", headers={"Authorization": "Key un:known"})
    assert refused(reply) == (401, "authorization_error")


async def test_an_unknown_endpoint_id_gets_404_although_others_are_known(platform: Platform) -> None:
    assert refused(await platform.get("models", endpoint_id=f"{FLUX},me/nothing")) == (404, "not_found")


async def test_models_are_expanded_by_their_openapi_document_or_by_an_error(platform: Platform) -> None:
    platform.caller.emulator.mount("me/app", "http://127.0.0.1:1")
    query = {"endpoint_id": f"{FLUX},me/app", "expand": "openapi-3.0,enterprise_status"}
    mounted, flux = await platform.listed("models", "models", **query)
    assert flux["openapi"]["paths"][f"/{FLUX}"]
    assert flux["enterprise_status"] == "ready"
    assert mounted["openapi"]["error"]["code"] == "expansion_failed"


async def test_models_are_listed_page_by_page_with_base64_cursors(platform: Platform) -> None:
    spoken = {"category": "speech-to-text"}
    first = await platform.get("models", limit=2, **spoken)
    assert (first.data["next_cursor"], first.data["has_more"]) == ("Mg==", True)
    seen, cursor = [*first.data["models"]], first.data["next_cursor"]
    while cursor is not None:
        page = await platform.get("models", limit=2, cursor=cursor, **spoken)
        seen += page.data["models"]
        cursor = page.data["next_cursor"]
        assert page.data["has_more"] == (cursor is not None)
    assert [model["endpoint_id"] for model in seen] == await found(platform, **spoken)


@pytest.mark.parametrize(
    "query",
    [
        {"status": "lost"},
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "many"},
        {"cursor": "2"},
        {"cursor": "MA=="},
        {"cursor": "!"},
        {"endpoint_id": ",".join(f"me/m{number}" for number in range(51))},
    ],
    ids=lambda query: str(query)[:30],
)
async def test_a_wrong_value_in_a_query_of_models_gets_400(platform: Platform, query: dict[str, str]) -> None:
    assert refused(await platform.get("models", **query)) == (400, "validation_error")


async def test_the_platform_api_answers_404_to_unknown_paths_and_405_to_wrong_methods(caller: Caller) -> None:
    unknown = await caller.get("/api.fal.ai/v1/compute/instances")
    assert refused(unknown) == (404, "not_found")
    assert (await caller.get("/api.fal.ai/v2/models")).status == 404
    assert (await caller.call("POST", "/api.fal.ai/v1/models")).status == 405


async def test_meta_lists_the_address_of_webhooks_without_a_key(platform: Platform) -> None:
    assert (await platform.get("meta", key="")).data == {"webhook_ip_ranges": ["127.0.0.1/32"]}
