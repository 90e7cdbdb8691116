"""The schema of an endpoint: `GET fal.ai/api/openapi/queue/openapi.json` (protocol 11.6)."""

from __future__ import annotations

from tests.emulator.caller import Caller


async def test_the_openapi_document_describes_input_and_output_of_an_endpoint(caller: Caller) -> None:
    path = "/fal.ai/api/openapi/queue/openapi.json"
    document = (await caller.get(path, params={"endpoint_id": "fal-ai/flux/dev"}, headers={})).data
    assert document["info"]["x-fal-metadata"]["endpointId"] == "fal-ai/flux/dev"
    posted = document["paths"]["/fal-ai/flux/dev"]["post"]["requestBody"]["content"]["application/json"]
    assert posted["schema"] == {"$ref": "#/components/schemas/Input"}
    assert document["components"]["schemas"]["Input"]["required"] == ["prompt"]
    answered = document["paths"]["/fal-ai/flux/dev/requests/{request_id}"]["get"]["responses"]["200"]
    assert answered["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Output"}
    for query in ({"endpoint_id": "me/nothing"}, {}):
        none = await caller.get(path, params=query, headers={})
        assert (none.status, none.body) == (404, b"null")
