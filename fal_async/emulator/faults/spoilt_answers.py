"""Kinds of fault that change the content of the real answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import attrs

from fal_async.emulator.faults.effect import EVERYWHERE, Effect, InTheMiddle, Piece, Step
from fal_async.emulator.faults.fault_fields import needed
from fal_async.emulator.wire.answers import Answer, json_answer
from fal_async.emulator.wire.routing import FAL_HOSTS
from fal_async.emulator.wire.sse import cut_in_event

_URL_NAMES = ("status_url", "response_url", "cancel_url")
_WITH_A_DOCUMENT = EVERYWHERE - {"file", "cdn_sign"}
"""The operations whose answer is a JSON object, or a stream of JSON values: all but files and signed URLs."""
_STREAMED = frozenset({"stream", "realtime", "websocket"})
_OF_THE_MODEL = frozenset({"run", "result", "stream"})
"""The operations whose answers come from the model, and may have any field."""


@attrs.frozen(kw_only=True)
class WrongJson(InTheMiddle):
    """A body, an event or a frame that breaks off, in an answer that is complete as HTTP."""

    kind = "wrong_json"
    spoils_files = True

    body: str | None

    def spoil(self, answer: Answer) -> Answer:
        body = answer.body[: max(len(answer.body) // 2, 1)] if self.body is None else self.body
        return Answer(answer.status, answer.headers, body)

    def in_stream(self, data: bytes) -> list[Piece]:
        text = cut_in_event(data).decode(errors="ignore") if self.body is None else f"data: {self.body}"
        return [Piece(f"{text.rstrip()}\n\n".encode())]

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        return [Step(self._broken(plain[0].frame, codec))] if plain else plain

    def _broken(self, frame: str | bytes | None, codec: str) -> str | bytes:
        if self.body is not None:
            return self.body if codec == "json" else self.body.encode()
        return frame[: max(len(frame) // 2, 1)] if isinstance(frame, str) else cut_in_event(frame or b"")


@attrs.frozen(kw_only=True)
class ContentType(Effect):
    kind = "content_type"
    operations: ClassVar[frozenset[str]] = EVERYWHERE - {"realtime"}

    body: str = attrs.field(validator=needed)

    def spoil(self, answer: Answer) -> Answer:
        return answer.with_headers({"Content-Type": self.body})


@attrs.frozen(kw_only=True)
class _Spoilt(Effect):
    """Changes top-level fields of an answer that is a JSON object; other answers are not changed."""

    def changed(self, document: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def spoil(self, answer: Answer) -> Answer:
        try:
            document = answer.document()
        except ValueError:
            return answer
        if not isinstance(document, dict):
            return answer
        return json_answer(self.changed(document), answer.status, answer.headers)

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        return self.changed(document)


@attrs.frozen(kw_only=True)
class _OtherFields(_Spoilt):
    """Also changes the top-level fields of a model's values in streams and sessions."""

    operations: ClassVar[frozenset[str]] = _WITH_A_DOCUMENT

    def value(self, value: Any) -> Any:
        return self.changed(value) if isinstance(value, dict) else value


@attrs.frozen(kw_only=True)
class Missing(_OtherFields):
    kind = "missing"

    names: tuple[str, ...]

    def changed(self, document: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in document.items() if name not in self.names}


@attrs.frozen(kw_only=True)
class Replace(_OtherFields):
    kind = "replace"

    fields: Mapping[str, Any]

    def changed(self, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, **self.fields}


@attrs.frozen(kw_only=True)
class Word(_Spoilt):
    kind = "word"
    operations: ClassVar[frozenset[str]] = _WITH_A_DOCUMENT - {"realtime", "websocket"}

    body: str = attrs.field(validator=needed)

    def changed(self, document: dict[str, Any]) -> dict[str, Any]:
        changed = {**document, "status": self.body}
        if self.body != "IN_QUEUE":
            changed.pop("queue_position", None)  # only a waiting request has one (protocol 4.1, 4.2)
        return changed


@attrs.frozen(kw_only=True)
class Back(_Spoilt):
    kind = "back"
    operations: ClassVar[frozenset[str]] = _WITH_A_DOCUMENT - {"realtime", "websocket"}

    position: int

    def changed(self, document: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in document.items() if name not in ("logs", "metrics")}
        return {**kept, "status": "IN_QUEUE", "queue_position": self.position}


class Duplicate(_Spoilt):
    kind = "duplicate"
    operations: ClassVar[frozenset[str]] = frozenset({"status", "status_stream"}) | _STREAMED | _OF_THE_MODEL
    copies = 2

    def changed(self, document: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(document.get("logs"), list):
            return document
        return {**document, "logs": [entry for entry in document["logs"] for _ in range(2)]}

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        return document  # the whole event is sent twice


@attrs.frozen(kw_only=True)
class ForeignUrls(_Spoilt):
    kind = "foreign_urls"
    operations: ClassVar[frozenset[str]] = frozenset({"submit", "status", "status_stream"}) | _OF_THE_MODEL

    url: str = attrs.field(validator=needed)

    def changed(self, document: dict[str, Any]) -> dict[str, Any]:
        """Replace `https://queue.fal.run` by the base URL; the path after the host segment is kept."""
        changed = dict(document)
        for name in _URL_NAMES:
            if isinstance(changed.get(name), str):
                changed[name] = f"{self.url}/{_below_the_host(changed[name])}"
        return changed


def _below_the_host(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path.lstrip("/")
    return path if parts.hostname in FAL_HOSTS else path.partition("/")[2]
