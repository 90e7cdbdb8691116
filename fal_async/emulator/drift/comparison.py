"""Compares one recorded call with the emulator's answers: statuses, headers, and the shapes of bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from fal_async.emulator.cassettes.cassette import Cassette, Moment, RecordedAnswer
from fal_async.emulator.cassettes.cassette_redaction import kept_headers
from fal_async.emulator.cassettes.content import Content
from fal_async.emulator.drift.emulated_calls import Emulated
from fal_async.emulator.drift.placeholder_endpoint import emulated_error
from fal_async.emulator.drift.schema_shapes import SchemaShape
from fal_async.emulator.drift.shapes import ABSENT, Difference, member, nearest_differences
from fal_async.emulator.drift.status_samples import StatusSamples
from fal_async.emulator.schemas.error_entries import SCHEMA_ERRORS
from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.sse import EVENTS

_CONTENT_TYPE = "content-type"


@attrs.frozen(kw_only=True)
class Comparison:
    """What is needed to compare a recorded call.

    Attributes:
        cassette: the recorded call.
        own: the answers of the emulator's own endpoint, or that it has none.
        placeholder: the answers of an endpoint that knows nothing of the model.
        samples: the emulator's statuses and log entries.
    """

    cassette: Cassette
    own: Emulated
    placeholder: Emulated
    samples: StatusSamples

    @property
    def is_partial(self) -> bool:
        """Whether the result can't be compared, because the emulator does not have the endpoint."""
        last = self.cassette.answer or self.cassette.submit
        return self.own.is_unknown and (last is None or last.status != self.own.answer.status)

    def differences(self) -> Iterator[Difference]:
        """Yield the differences, in the order of the cassette's file."""
        if self.cassette.submit is not None:
            yield from self._of_submit(self.cassette.submit)
        for at, moment in enumerate(self.cassette.moments):
            yield from self._of_moment(f"moments[{at}]", moment)
        if self.cassette.answer is not None:
            yield from self._of_answer(self.cassette.answer)

    def _of_submit(self, recorded: RecordedAnswer) -> Iterator[Difference]:
        emulated = self.placeholder.submit if self.own.is_unknown else self.own.submit
        if _is_error(recorded):
            is_same = self.own.submit is not None and self.own.submit.status == recorded.status
            emulated = self.own.submit if is_same else emulated_error(recorded)
        if emulated is None:
            raise RuntimeError("a call without a submit was compared with one")
        yield from _of_status("submit", recorded, emulated.status)
        yield from _of_headers("submit", recorded, emulated)
        yield from _of_media_type("submit", recorded, emulated)
        yield from _of_body("submit.body", recorded.body, emulated)

    # What happens before the end.

    def _of_moment(self, path: str, moment: Moment) -> Iterator[Difference]:
        if (document := moment.document) is not None:
            yield from self._of_document(member(path, "document"), document)
        if moment.log is not None:
            yield from nearest_differences(member(path, "log"), moment.log, self.samples.logs)
        if moment.event is not None and (events := _events(self.own.answer)):
            yield from _of_event(member(path, "event"), moment.event, events)

    def _of_document(self, path: str, document: Mapping[str, Any]) -> Iterator[Difference]:
        sample = self.samples.document_like(document)
        if sample is None:
            states = " or ".join(self.samples.states)
            yield Difference(member(path, "status"), str(document.get("status")), states)
            return
        recorded = {name: value for name, value in document.items() if name != "logs"}
        yield from nearest_differences(path, recorded, [sample])

    # The end.

    def _of_answer(self, recorded: RecordedAnswer) -> Iterator[Difference]:
        emulated = self._answer_like(recorded)
        status = emulated.status if self.own.is_unknown or _is_chance(recorded) else self.own.answer.status
        yield from _of_status("answer", recorded, status)
        yield from _of_headers("answer", recorded, emulated)
        if not self.own.is_unknown or _is_error(recorded):  # else its type is up to the model
            yield from _of_media_type("answer", recorded, emulated)
        if _is_error(recorded):
            yield from _of_body("answer.body", recorded.body, emulated)
        elif self.cassette.via != "stream":  # whose body is its events
            yield from self._of_result("answer.body", recorded.body)

    def _answer_like(self, recorded: RecordedAnswer) -> Answer:
        """Return the emulator's answer of the same kind, a result or an error."""
        own = self.own.answer
        is_alike = _is_error(own) == _is_error(recorded)
        same = own.status == recorded.status or (is_alike and not self.own.is_unknown)
        return own if same else self.placeholder.answer

    def _of_result(self, path: str, recorded: Content) -> Iterator[Difference]:
        if self.own.output_schema is not None and recorded.kind == "json":
            yield from SchemaShape(self.own.output_schema).differences(member(path, "json"), recorded.value)
        elif not _is_error(self.own.answer):
            yield from _of_body(path, recorded, self.own.answer)


def _is_error(answer: RecordedAnswer | Answer) -> bool:
    return answer.status >= 400


def _is_chance(recorded: RecordedAnswer) -> bool:
    """Return whether it is an error that does not follow from the input, so that the same call may succeed."""
    body = recorded.body.value if recorded.body.kind == "json" else None
    detail = body.get("detail") if isinstance(body, Mapping) else None
    entries = detail if isinstance(detail, list) else []
    kinds = {str(each.get("type")) for each in entries if isinstance(each, Mapping)}
    return _is_error(recorded) and (recorded.status != 422 or not SCHEMA_ERRORS & kinds)


def _of_status(path: str, recorded: RecordedAnswer, status: int) -> Iterator[Difference]:
    if recorded.status != status:
        yield Difference(member(path, "status"), str(recorded.status), str(status))


def _of_headers(path: str, recorded: RecordedAnswer, emulated: Answer) -> Iterator[Difference]:
    kept, headers = kept_headers(emulated.headers), member(path, "headers")
    for name in sorted({*recorded.headers, *kept}):
        if name not in kept:
            yield Difference(member(headers, name), "present", ABSENT)
        elif name not in recorded.headers:
            yield Difference(member(headers, name), ABSENT, "present")


def _of_media_type(path: str, recorded: RecordedAnswer, emulated: Answer) -> Iterator[Difference]:
    kinds = [_media_type(each) for each in (recorded.headers, kept_headers(emulated.headers))]
    if all(kinds) and kinds[0] != kinds[1]:
        yield Difference(member(member(path, "headers"), _CONTENT_TYPE), *kinds)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get(_CONTENT_TYPE, "").partition(";")[0].strip().lower()


def _of_body(path: str, recorded: Content, emulated: Answer) -> Iterator[Difference]:
    other = _content(emulated.body)
    if recorded.kind != other.kind:
        yield Difference(path, recorded.kind, other.kind)
    elif recorded.kind == "json":
        yield from nearest_differences(member(path, "json"), recorded.value, [other.value])


def _of_event(path: str, recorded: Content, events: list[Content]) -> Iterator[Difference]:
    alike = [event for event in events if event.kind == recorded.kind]
    if not alike:
        yield Difference(path, recorded.kind, " or ".join(dict.fromkeys(event.kind for event in events)))
    elif recorded.kind == "json":
        yield from nearest_differences(member(path, "json"), recorded.value, [each.value for each in alike])


def _events(answer: Answer) -> list[Content]:
    """Return the events of a stream that the emulator sent, without its comments; [] if it is an error."""
    if _is_error(answer):
        return []
    if _media_type(kept_headers(answer.headers)) != EVENTS:
        return [_content(answer.body)]
    return [_content(part + b"\n\n") for part in answer.body.split(b"\n\n") if part and part[:1] != b":"]


def _content(data: bytes) -> Content:
    return Content.of(data, lambda _: "")
