"""Sample claims and outcomes for the tests of ledgers and stores."""

from __future__ import annotations

from fal_async.ledger.store import NewClaim
from fal_async.protocol.ledger.entry import End, Payload, Place, Space

ORIGIN = "https://queue.fal.run"


def place(key: str = "order-42", *, run: str = "", tenant: str = "", origin: str = ORIGIN) -> Place:
    return Place(space=Space(origin=origin, tenant=tenant, run=run), key=key)


def json_payload(text: str) -> Payload:
    return Payload(content_type="application/json", body=text.encode())


def new_claim(
    at: Place | str = "order-42",
    *,
    seen: int | None = None,
    input: str | None = None,
    token: str | None = None,
) -> NewClaim:
    return NewClaim(
        place=place(at) if isinstance(at, str) else at,
        endpoint_id="fal-ai/flux/dev",
        input_digest="1:input",
        body_digest="1:body",
        seen=seen,
        claimed_at=100.0,
        claimed_until=130.0,
        input=None if input is None else json_payload(input),
        token=token,
    )


def done(body: str = '{"images": []}', *, at: float = 120.0) -> End:
    return End(
        state="done",
        outcome="done",
        at=at,
        payload=json_payload(body),
        headers={"content-type": "application/json"},
    )


def failed(*, final: bool = False, at: float = 120.0) -> End:
    return End(
        state="failed", outcome="failed", at=at, final=final, payload=json_payload('{"kind": "ServerError"}')
    )
