"""`/_emulator/requests`: the HTTP requests that arrived, without their secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fal_async.emulator.admin.listed import listed, wish_of
from fal_async.emulator.admin.masks import HIDDEN, masked, masked_fields, shortened
from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.wire.answers import Answer, json_answer, request_error
from fal_async.emulator.wire.recorder import Entry

Numbered = tuple[int, Entry]
_LOGIN = "token"
"""The operation whose body is a refresh token."""


async def _requests(order: Order) -> Answer:
    """List HTTP requests, as `listed.py` describes, filtered by the query's `kind`, `endpoint` and `scope`."""
    recorder, wish = order.core.recorder, wish_of(order.call.query)
    if not recorder.keeps:
        raise ValueError("requests are not kept: start the emulator without --keep-requests 0 (record=False)")
    return await listed(
        recorder.numbered(),
        wish,
        name=lambda numbered: str(numbered[0]),
        fits=_filter(order),
        texts=_texts,
        shown=lambda numbered: brief_request(*numbered) if wish.brief else _whole(*numbered),
    )


def _filter(order: Order) -> Callable[[Numbered], bool] | None:
    kind, endpoint = order.call.query.get("kind"), order.call.query.get("endpoint")
    own = None if order.scope is None else {entry for _, entry in order.recorder.numbered()}
    if not kind and not endpoint and own is None:
        return None
    return lambda numbered: (
        (not kind or numbered[1].kind == kind)
        and (not endpoint or numbered[1].endpoint_id == endpoint)
        and (own is None or numbered[1] in own)
    )


def _texts(numbered: Numbered) -> list[Any]:
    entry = numbered[1]
    body = "" if entry.kind == _LOGIN else entry.body[:16_000].decode(errors="replace")
    query = masked_fields(entry.query)
    return [entry.method, entry.path, entry.request_id, entry.kind, str(entry.status), body, query]


def brief_request(number: int, entry: Entry) -> dict[str, Any]:
    """Return the line of a table."""
    names = "at method path host_segment kind endpoint_id request_id status size"
    found = {name: getattr(entry, name) for name in names.split()}
    return {**found, "number": number, "path": shortened(entry.path, 500)}


def _whole(number: int, entry: Entry) -> dict[str, Any]:
    body = HIDDEN if entry.kind == _LOGIN and entry.body else entry.body.decode(errors="replace")
    return {
        **brief_request(number, entry),
        "path": entry.path,
        "query": masked_fields(entry.query),
        "headers": masked_fields(entry.headers),
        "body": body,
    }


def _one(order: Order) -> Answer:
    found = [entry for number, entry in order.core.recorder.numbered() if str(number) == order.name]
    if not found:
        return request_error(404, f"the emulator has no HTTP request with the number {order.name}")
    whole = _whole(int(order.name), found[0])
    return masked(json_answer({**whole, "body": shortened(whole["body"])}))


def _clear(order: Order) -> None:
    order.recorder.clear()


ROUTES: Routes = {
    ("GET", "requests"): _requests,
    ("GET", "requests/*"): _one,
    ("DELETE", "requests"): _clear,
}
