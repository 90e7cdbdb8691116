from __future__ import annotations

import pytest

from fal_async.emulator.wire.routing import app_id, parse, refined

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
        ("GET", "/fal.media/files/koala/x.png", "file", None, None),
        ("GET", "/kv.fal.media/get/db/key", "kv", None, None),
        ("POST", "/wma.fal.run/ice", "wma", None, None),
        ("POST", "/mcp.fal.ai/mcp-relay", "unknown", None, None),
        ("POST", "/gateway.fal.run/fal-ai/flux/dev", "unknown", None, None),
        ("POST", "/rest.fal.ai/tokens/", "realtime_token", None, None),
        ("POST", "/rest.fal.ai/tokens/realtime", "realtime_token", None, None),
        ("POST", "/rest.fal.ai/tokens/other", "rest", None, None),
        ("GET", "/ws.fal.run/me/app", "websocket", "me/app", None),
        ("GET", "/ws.fal.run/me/app/stream", "websocket", "me/app", None),
        ("GET", "/api.fal.ai/v1/models", "platform", None, None),
        ("GET", "/fal.ai/api/openapi/queue/openapi.json", "openapi", None, None),
        ("POST", "/auth.fal.ai/oauth/token", "token", None, None),
        ("GET", "/_emulator/faults", "admin", None, None),
        ("GET", "/example.com/x", "unknown", None, None),
    ],
)
def test_parse_returns_operation_endpoint_and_request_id_of_a_path(
    method: str, path: str, kind: str, endpoint_id: str | None, request_id: str | None
) -> None:
    route = parse(method, path)
    assert (route.kind, route.endpoint_id, route.request_id) == (kind, endpoint_id, request_id)


EVENTS = {"Accept": "text/event-stream"}
UPGRADE = {"Upgrade": "websocket"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "kind", "endpoint_id"),
    [
        ("POST", "/fal.run/me/app", {}, "run", "me/app"),
        ("POST", "/fal.run/me/app/stream", {}, "stream", "me/app"),
        ("GET", "/fal.run/me/app/stream", {}, "run", "me/app/stream"),
        ("POST", "/fal.run/me/app/chat", EVENTS, "stream", "me/app/chat"),
        ("POST", "/fal.run/me/stream", {}, "run", "me/stream"),
        ("POST", "/fal.run/me/stream/stream", {}, "stream", "me/stream"),
        ("POST", "/fal.run/workflows/me/app/stream", {}, "stream", "workflows/me/app"),
        ("GET", "/fal.run/me/app/realtime", UPGRADE, "realtime", "me/app"),
        ("GET", "/fal.run/me/app/ws", UPGRADE, "realtime", "me/app/ws"),
        ("GET", "/fal.run/110602490-lcm/realtime", UPGRADE, "realtime", "110602490/lcm"),
        ("POST", "/queue.fal.run/me/app/stream", EVENTS, "submit", "me/app/stream"),
    ],
)
def test_refined_tells_streams_and_websocket_upgrades_from_direct_runs(
    method: str, path: str, headers: dict[str, str], kind: str, endpoint_id: str
) -> None:
    route = refined(parse(method, path), method, headers)
    assert (route.kind, route.endpoint_id) == (kind, endpoint_id)


def test_app_id_is_namespace_owner_and_name_without_the_sub_path() -> None:
    assert app_id("fal-ai/flux/dev") == "fal-ai/flux"
    assert app_id("me/app") == "me/app"
    assert app_id("workflows/me/app/path") == "workflows/me/app"
    assert app_id("comfy/me/app") == "comfy/me/app"
