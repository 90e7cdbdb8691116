from __future__ import annotations

import pytest

from fal_async.emulator.routing import app_id, parse

ID = "0f1a-request"


@pytest.mark.parametrize(
    ("method", "path", "kind", "endpoint_id", "request_id"),
    [
        ("GET", "/", "index", None, None),
        ("POST", "/fal.run/fal-ai/flux/dev", "run", "fal-ai/flux/dev", None),
        ("POST", "/falrun.com/fal-ai/flux/dev", "run", "fal-ai/flux/dev", None),
        ("POST", "/fal-ai/flux/dev", "run", "fal-ai/flux/dev", None),
        ("POST", "/110602490-fast-sdxl", "run", "110602490/fast-sdxl", None),
        ("POST", "/queue.fal.run/fal-ai/flux/dev", "submit", "fal-ai/flux/dev", None),
        ("POST", "/queue.falrun.com/fal-ai/flux/dev", "submit", "fal-ai/flux/dev", None),
        ("GET", "/queue.fal.run/fal-ai/flux/dev", "wrong_method", "fal-ai/flux/dev", None),
        ("GET", f"/queue.fal.run/fal-ai/flux/requests/{ID}", "result", "fal-ai/flux", ID),
        ("GET", f"/queue.fal.run/fal-ai/flux/requests/{ID}/", "result", "fal-ai/flux", ID),
        ("GET", f"/queue.fal.run/fal-ai/flux/requests/{ID}/response", "result", "fal-ai/flux", ID),
        ("GET", f"/queue.fal.run/fal-ai/flux/dev/requests/{ID}/status", "status", "fal-ai/flux/dev", ID),
        ("GET", f"/queue.fal.run/fal-ai/flux/requests/{ID}/status/", "status", "fal-ai/flux", ID),
        (
            "GET",
            f"/queue.fal.run/fal-ai/flux/requests/{ID}/status/stream",
            "status_stream",
            "fal-ai/flux",
            ID,
        ),
        ("PUT", f"/queue.fal.run/fal-ai/flux/requests/{ID}/cancel", "cancel", "fal-ai/flux", ID),
        ("GET", f"/queue.fal.run/fal-ai/flux/requests/{ID}/cancel", "wrong_method", "fal-ai/flux", ID),
        ("GET", f"/queue.fal.run/fal-ai/flux/requests/{ID}/other", "unknown", "fal-ai/flux", ID),
        ("GET", f"/queue.fal.run/workflows/me/app/requests/{ID}", "result", "workflows/me/app", ID),
        ("POST", "/queue.fal.run/me/requests", "submit", "me/requests", None),
        ("GET", f"/queue.fal.run/me/requests/requests/{ID}", "result", "me/requests", ID),
        ("GET", "/v3.fal.media/files/b/0a/x.png", "file", None, None),
        ("POST", "/rest.fal.ai/tokens/", "rest", None, None),
        ("GET", "/api.fal.ai/v1/models", "platform", None, None),
        ("GET", "/fal.ai/api/openapi/queue/openapi.json", "openapi", None, None),
        ("POST", "/auth.fal.ai/oauth/token", "token", None, None),
        ("GET", "/_emulator/faults", "admin", None, None),
        ("GET", "/example.com/x", "unknown", None, None),
    ],
)
def test_a_path_says_what_is_asked_for(
    method: str, path: str, kind: str, endpoint_id: str | None, request_id: str | None
) -> None:
    route = parse(method, path)
    assert (route.kind, route.endpoint_id, route.request_id) == (kind, endpoint_id, request_id)


def test_the_app_is_owner_and_name_with_its_namespace() -> None:
    assert app_id("fal-ai/flux/dev") == "fal-ai/flux"
    assert app_id("me/app") == "me/app"
    assert app_id("workflows/me/app/path") == "workflows/me/app"
    assert app_id("comfy/me/app") == "comfy/me/app"
