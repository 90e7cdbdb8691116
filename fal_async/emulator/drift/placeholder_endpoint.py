"""An endpoint in place of one that the emulator does not have, so that its protocol can still be compared.

It returns nothing, or fails in the emulator's own form of the recorded error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from http.client import responses
from typing import Any

from fal_async.emulator.cassettes.cassette import Cassette, RecordedAnswer
from fal_async.emulator.operations import fallback_chain
from fal_async.emulator.server import Emulator
from fal_async.emulator.wire.answers import Answer, ModelError, detail_entry, nginx_page
from fal_async.emulator.wire.routing import normal_id

_OPTIONAL = frozenset({"input", "url"})


def add_placeholder(emulator: Emulator, cassette: Cassette) -> None:
    """Serve the endpoints of a recorded call, which answer it as far as that does not depend on the model."""
    recorded = cassette.answer

    async def whole(_: Any) -> Any:
        return {} if recorded is None or recorded.status < 400 else emulated_error(recorded)

    async def streamed(_: Any) -> AsyncIterator[Any]:
        if recorded is not None and recorded.status >= 400:
            raise _as_model_error(recorded)
        yield {}

    for endpoint_id in _models(cassette):
        with suppress(ValueError):  # not the id of an endpoint, so the emulator refuses the call
            emulator.endpoint(endpoint_id)(streamed if cassette.via == "stream" else whole)


def _models(cassette: Cassette) -> Iterator[str]:
    """Yield the endpoint ids that a call needs: its own, or those of a fallback chain."""
    if cassette.path != fallback_chain.PATH:
        yield normal_id(cassette.path.removesuffix("/stream"))
        return
    chain = cassette.input if isinstance(cassette.input, Mapping) else {}
    fallbacks = chain.get("fallback")
    for entry in (chain, *(fallbacks if isinstance(fallbacks, list) else [fallbacks])):
        if isinstance(entry, Mapping) and isinstance(endpoint_id := entry.get("endpoint"), str):
            yield endpoint_id


def emulated_error(recorded: RecordedAnswer) -> Answer:
    """Return how the emulator would say a recorded error (protocol 9.1, 9.2, 9.3)."""
    if recorded.headers.get("content-type", "").startswith("text/html"):
        return nginx_page(recorded.status, responses.get(recorded.status, ""))
    return _as_model_error(recorded).answer()


def _as_model_error(recorded: RecordedAnswer) -> ModelError:
    body = recorded.body.value if recorded.body.kind == "json" else None
    body = body if isinstance(body, Mapping) else {}
    detail, error_type = body.get("detail"), body.get("error_type")
    if isinstance(detail, list):
        detail = [_entry(each) for each in detail if isinstance(each, Mapping)]
    return ModelError(
        recorded.status, detail if isinstance(detail, list) else str(detail), error_type and str(error_type)
    )


def _entry(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the emulator's entry for a recorded one, with those of the members that models may leave out (9.1)."""
    loc, context = recorded.get("loc"), recorded.get("ctx")
    entry = detail_entry(
        loc if isinstance(loc, list) else [],
        str(recorded.get("msg")),
        str(recorded.get("type")),
        recorded.get("input"),
        context if isinstance(context, Mapping) else None,
    )
    return {name: value for name, value in entry.items() if name in recorded or name not in _OPTIONAL}
