"""The operations of the emulator's platform API beside fal's own document of it.

Every answer that the other tests of this folder get is checked against the document, too (`platform_caller.py`).
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from fal_async.emulator import Fault
from fal_async.emulator.operations.platform.platform_operations import OPERATIONS
from tests.emulator.caller import Reply
from tests.emulator.operations.platform import fal_document
from tests.emulator.operations.platform.platform_caller import Platform, refused

ELSEWHERE = ("/assets", "/serverless", "/compute")
"""Parts of the platform API that the emulator does not serve."""
STORAGE = {"/storage/files/acl", "/storage/files/sign", "/storage/settings"}
FLUX = "fal-ai/flux/dev"


def test_the_emulator_serves_every_operation_for_models_accounts_and_workflows() -> None:
    described = fal_document.operations(fal_document.required_document())
    wanted = {one for one in described if not one[1].startswith((*ELSEWHERE, "/storage"))}
    assert {(operation.method, f"/{operation.path}") for operation in OPERATIONS} == wanted
    assert {path for _, path in described if path.startswith("/storage")} == STORAGE


def test_the_operations_that_need_an_admin_key_are_those_of_the_document() -> None:
    paths = fal_document.required_document()["paths"]
    for operation in OPERATIONS:
        schemes = [name for scheme in _described(paths, operation).get("security", ()) for name in scheme]
        assert ("adminApiKey" in schemes) == operation.admin, operation


def test_the_operations_that_take_an_idempotency_key_are_those_of_the_document() -> None:
    paths = fal_document.required_document()["paths"]
    for operation in OPERATIONS:
        names = [parameter["name"] for parameter in _described(paths, operation).get("parameters", ())]
        assert ("Idempotency-Key" in names) == operation.keeps, operation


def _described(paths: dict[str, Any], operation: Any) -> dict[str, Any]:
    described: dict[str, Any] = paths[f"/{operation.path}"][operation.method.lower()]
    return described


async def test_the_operations_of_storage_fit_the_document(platform: Platform) -> None:
    fal_document.required_document()
    made = await platform.caller.run(FLUX, {"prompt": "x", "image_size": "square"})
    url = {"url": made.data["images"][0]["url"]}
    acl = {"default": "forbid", "rules": [{"user": "other", "decision": "allow"}]}
    settings = {"expiration_duration_seconds": 60, "initial_acl": acl}
    replies = (
        await platform.call("GET", "storage/files/acl", params=url),
        await platform.call("PUT", "storage/files/acl", params=url, json=acl),
        await platform.call("POST", "storage/files/sign", params=url, json={"expiration_seconds": 60}),
        await platform.call("GET", "storage/settings"),
        await platform.call("PUT", "storage/settings", json=settings),
        await platform.call("GET", "storage/settings"),
    )
    assert [reply.status for reply in replies] == [200] * 6
    assert (await platform.call("GET", "storage/files/acl", params={"url": "https://a/b"})).status == 404
    for body in ({"other": 1}, {"expiration_duration_seconds": 0}, {"initial_acl": {**acl, "users": []}}):
        assert (await platform.call("PUT", "storage/settings", json=body)).status == 400
    for query in ({}, {"url": f"{url['url']}?signature=x"}):
        assert (await platform.call("GET", "storage/files/acl", params=query)).status == 400
    wrong = {"default": "hide", "rules": [{"user": "a", "decision": "hide", "until": 1}]}
    assert (await platform.call("PUT", "storage/files/acl", params=url, json=wrong)).status == 400
    assert (await platform.call("GET", "storage/settings", key="")).status == 401


@pytest.mark.parametrize(
    ("path", "reply", "word"),
    [
        ("/meta", (201, {}, b"{}"), "status 201"),
        ("/meta", (200, {"Content-Type": "text/csv"}, b"{}"), "content type text/csv"),
        ("/meta", (200, {"Content-Type": "application/json"}, b"{}"), "required property"),
        ("/keys/{key_id}", (204, {}, b"{}"), "a body of 2 bytes"),
    ],
    ids=["status", "content type", "body", "no body"],
)
def test_an_answer_that_does_not_fit_the_document_is_found(path: str, reply: Any, word: str) -> None:
    fal_document.required_document()
    status, headers, body = reply
    method = "GET" if path == "/meta" else "DELETE"
    [found] = fal_document.mistakes(method, path, Reply(status, headers, body, {}))
    assert word in found


def test_a_member_that_the_document_does_not_name_is_found() -> None:
    fal_document.required_document()
    headers = {"Content-Type": "application/json"}
    [found] = fal_document.mistakes(
        "GET", "/meta", Reply(200, headers, b"", {"webhook_ip_ranges": [], "webhook_ips": []})
    )
    assert "webhook_ips" in found


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Fault.answer(429, retry_after=3), (429, "rate_limited")),
        (Fault.answer(400, detail="no"), (400, "validation_error")),
        (Fault.answer(401), (401, "authorization_error")),
        (Fault.answer(500), (500, "server_error")),
        (Fault.balance(), (403, "authorization_error")),
        (Fault.vanish(), (404, "not_found")),
    ],
    ids=lambda value: str(value)[:25],
)
async def test_a_fault_answers_in_the_platforms_form(platform: Platform, fault: Fault, answer: Any) -> None:
    platform.caller.emulator.faults.add(attrs.evolve(fault, on="platform"))
    reply = await platform.get("workflows/a/b")
    assert refused(reply) == answer
    assert reply.headers.get("Retry-After") == ("3" if reply.status == 429 else None)


@pytest.mark.parametrize(
    "fault", [Fault.html(502), Fault.answer(500, body='{"detail": "x"}')], ids=["page", "body"]
)
async def test_a_page_and_a_body_of_the_test_are_sent_unchanged(platform: Platform, fault: Fault) -> None:
    caller = platform.caller
    caller.emulator.faults.add(attrs.evolve(fault, on="platform"))
    reply = await caller.get("/api.fal.ai/v1/models")
    assert reply.data in (None, {"detail": "x"})
