"""Which function answers which path of api.fal.ai/v1 (protocol 11.1, 11.2, 15.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate

import attrs

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.operations.platform import (
    account_answers,
    billing_events,
    key_answers,
    model_list,
    organization_answers,
    past_requests,
    payload_deletion,
    price_answers,
    request_metrics,
    usage_lines,
    workflow_answers,
)
from fal_async.emulator.operations.platform.platform_errors import Refusal
from fal_async.emulator.wire.answers import Answer, json_answer, platform_error

_VERSION = "v1/"


@attrs.frozen
class Operation:
    method: str
    path: str
    """The path after `v1/`; a segment in braces stands for any value, which `answer` gets."""
    answer: Callable[..., Answer | Awaitable[Answer]]
    admin: bool = False
    """Whether it needs an admin key (11.7)."""
    keeps: bool = False
    """Whether it takes an `Idempotency-Key`, under which its answer is kept (11.7)."""

    def values(self, path: str) -> list[str] | None:
        """Return the values of the segments in braces, or None if the path is another one."""
        pairs = list(zip(self.path.split("/"), path.split("/"), strict=False))
        if self.path.count("/") != path.count("/") or any(a != b and a[0] != "{" for a, b in pairs):
            return None
        return [given for named, given in pairs if named[0] == "{"]


def _meta(_: Core, __: Call) -> Answer:
    return json_answer({"webhook_ip_ranges": ["127.0.0.1/32"]})


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "models", model_list.models),
    Operation("GET", "models/pricing", price_answers.pricing),
    Operation("POST", "models/pricing/estimate", price_answers.estimate),
    Operation("GET", "models/usage", usage_lines.usage, admin=True),
    Operation("GET", "models/analytics", request_metrics.analytics),
    Operation("GET", "models/billing-events", billing_events.billing_events, admin=True),
    Operation("GET", "models/requests/by-endpoint", past_requests.by_endpoint),
    Operation("GET", "models/requests/search", past_requests.search),
    Operation(
        "DELETE",
        "models/requests/{request_id}/payloads",
        payload_deletion.delete_payloads,
        admin=True,
        keeps=True,
    ),
    Operation("GET", "keys", key_answers.keys, admin=True),
    Operation("POST", "keys", key_answers.create, admin=True),
    Operation("DELETE", "keys/{key_id}", key_answers.delete, admin=True, keeps=True),
    Operation("GET", "account/billing", account_answers.billing, admin=True),
    Operation("GET", "account/focus", account_answers.focus, admin=True),
    Operation("GET", "account/model-access-controls", account_answers.model_access),
    Operation("GET", "organization/usage", organization_answers.usage, admin=True),
    Operation("GET", "organization/billing-events", organization_answers.events, admin=True),
    Operation("GET", "organization/teams", organization_answers.teams, admin=True),
    Operation("GET", "organization/focus", organization_answers.focus, admin=True),
    Operation("GET", "workflows", workflow_answers.workflows),
    Operation("POST", "workflows", workflow_answers.create),
    Operation("GET", "workflows/{username}/{workflow_name}", workflow_answers.read),
    Operation("GET", "meta", _meta),
)


async def platform(core: Core, call: Call) -> Reply:
    return (await _answer(core, call)).with_headers(
        {"Date": formatdate(core.clock.now() + core.history.clock_ahead, usegmt=True)}
    )


async def _answer(core: Core, call: Call) -> Answer:
    path = call.route.rest.removeprefix(_VERSION)
    found = [
        (operation, values)
        for operation in OPERATIONS
        if call.route.rest.startswith(_VERSION) and (values := operation.values(path)) is not None
    ]
    if not found:
        return platform_error(404, "not_found", f"/{call.route.rest} is not served by the emulator")
    for operation, values in found:
        if operation.method == call.request.method:
            return await _answer_of(operation, core, call, values)
    return platform_error(405, "not_implemented", f"/{call.route.rest} does not take {call.request.method}")


async def _answer_of(operation: Operation, core: Core, call: Call, values: list[str]) -> Answer:
    if operation.admin and not call.credential.is_admin:
        return platform_error(
            403,
            "authorization_error",
            "This operation needs an admin API key, and this key has the scope API.",
        )
    given = call.headers.get("Idempotency-Key") if operation.keeps else None
    name, now = (call.account.nickname, call.route.rest, given or ""), core.clock.now()
    if given is not None and (kept := core.kept_answers.find(name, now)) is not None:
        return kept
    try:
        answer = operation.answer(core, call, *values)
        answer = answer if isinstance(answer, Answer) else await answer
    except Refusal as refusal:
        answer = refusal.answer
    if given is not None:
        core.kept_answers.keep(name, answer, now)
    return answer
