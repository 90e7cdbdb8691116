"""Scripted faults as values. What each kind does is in `kinds.py`, which call gets a fault in `script.py`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import attrs

from fal_async.emulator.faults.effect import Effect
from fal_async.emulator.faults.fault_fields import (
    ANY,
    CUTS,
    ON,
    WHEN,
    WHERE,
    at_least,
    is_a,
    one_of,
    texts,
    to_names,
)
from fal_async.emulator.faults.kinds import DEFAULTS, KINDS, fields_of


@attrs.frozen(kw_only=True)
class Fault:
    """One scripted failure. Make it with a constructor, such as `Fault.reset(on="submit", taken=True)`.

    Add it with `emulator.faults.add(...)`. Every constructor also takes, as `**when`, the fields that say which
    calls it strikes: `on`, `endpoint_id`, `times`, `after`, `chance`; and `events`, where its kind uses it. Seconds
    are real ones: the client's time limits apply to them, so the emulator's `speed` does not shorten them.

    Attributes:
        kind: what goes wrong: the name of a constructor, such as "reset".
        on: the operation that it strikes, such as "submit" (see `RecordedRequest.kind`); default "any".
        endpoint_id: strike only calls of this endpoint. None (default): of all endpoints.
        times: how many calls it strikes, default 1. None: no limit.
        after: how many matching calls pass before it strikes; default 0.
        chance: probability from 0 to 1 with which it strikes a matching call, drawn from the emulator's seeded
            generator; default 1.
        taken: True executes the request all the same: the job exists, the cancel takes effect. On a stream or a
            session: it strikes in the middle, after `events` events or messages.
        seconds: length of the silence, interval or absence; default 0.
        where: of a stall: before the "headers" (default), or in the middle of the "body".
        status: HTTP status of the answer; None for the kind's own.
        retry_after: value of the header `Retry-After`. None (default): no such header.
        fal_headers: True (default) answers as fal does, with `x-fal-request-id`; False with nginx's page.
        detail: `detail` of the answer's body. None (default): what fits the status.
        error_type: `error_type` of the answer's body. None (default): what fits the status.
        needs_retry: value of the header `X-Fal-Needs-Retry`. None (default): no such header.
        headers: more headers of the answer; default none.
        body: the replacement body, event, frame, content type, status word or close reason. None (default): the
            kind's own.
        names: names of the fields to leave out.
        fields: fields to replace, with their values.
        position: `queue_position` of a status that goes back; default 0.
        url: target of a redirect, or base URL of foreign URLs.
        events: number of events or messages after which it strikes a stream or a session; default 1, 0 is before
            the first.
        event_type: type of the additional event. None (default): none.
        binary: whether the additional frame is sent as msgpack; default False.
        code: close code of a session, from 1000.
        cut: where a stream breaks off: inside an "event" (default), inside a "character", or inside an event of a
            body that ends in order ("clean").

    Raises:
        ValueError: If a value is out of range or of the wrong type, or a field is given that the kind does not use.
    """

    kind: str = attrs.field(validator=one_of(KINDS))
    on: str = attrs.field(default=ANY, validator=one_of(ON))
    endpoint_id: str | None = attrs.field(default=None, validator=is_a(str, None))
    times: int | None = attrs.field(default=1, validator=[is_a(int, None), at_least(1)])
    after: int = attrs.field(default=0, validator=[is_a(int), at_least(0)])
    chance: float = attrs.field(default=1.0, validator=[is_a(float, int), at_least(0)])
    taken: bool = attrs.field(default=False, validator=is_a(bool))
    seconds: float = attrs.field(default=0.0, validator=[is_a(float, int), at_least(0)])
    where: str = attrs.field(default="headers", validator=one_of(WHERE))
    status: int | None = attrs.field(default=None, validator=is_a(int, None))
    retry_after: str | None = attrs.field(default=None, validator=is_a(str, None))
    fal_headers: bool = attrs.field(default=True, validator=is_a(bool))
    detail: Any = None
    error_type: str | None = attrs.field(default=None, validator=is_a(str, None))
    needs_retry: bool | None = attrs.field(default=None, validator=is_a(bool, None))
    headers: Mapping[str, str] = attrs.field(factory=dict, validator=texts)
    body: str | None = attrs.field(default=None, validator=is_a(str, None))
    names: tuple[str, ...] = attrs.field(default=(), converter=to_names, validator=is_a(tuple))
    fields: Mapping[str, Any] = attrs.field(factory=dict, validator=is_a(dict))
    position: int = attrs.field(default=0, validator=[is_a(int), at_least(0)])
    url: str | None = attrs.field(default=None, validator=is_a(str, None))
    events: int = attrs.field(default=1, validator=[is_a(int), at_least(0)])
    event_type: str | None = attrs.field(default=None, validator=is_a(str, None))
    binary: bool = attrs.field(default=False, validator=is_a(bool))
    code: int | None = attrs.field(default=None, validator=[is_a(int, None), at_least(1000)])
    cut: str = attrs.field(default="event", validator=one_of(CUTS))

    def __attrs_post_init__(self) -> None:
        if self.chance > 1:
            raise ValueError(f"chance={self.chance!r}: expected a number from 0 to 1")
        meaningful = fields_of(self.kind) | WHEN
        if senseless := sorted(self._given().keys() - meaningful):
            raise ValueError(
                f"a fault of kind {self.kind!r} has no field {senseless[0]!r}: expected some of "
                f"{', '.join(sorted(meaningful))}"
            )
        _ = self.effect  # built here so that bad fields raise now

    @property
    def effect(self) -> Effect:
        """What this fault does to a call: an instance of its kind."""
        return KINDS[self.kind](**{name: getattr(self, name) for name in fields_of(self.kind)})

    def _given(self) -> dict[str, Any]:
        """Return the fields that differ from their default."""
        given = {}
        for field in attrs.fields(Fault):
            default = {} if field.name in ("headers", "fields") else field.default
            if (value := getattr(self, field.name)) != default:
                given[field.name] = value
        return given

    # The connection.

    @classmethod
    def refuse(cls, seconds: float, **when: Any) -> Fault:
        """Return a fault that takes the server away: the connection is reset, new ones are refused.

        Args:
            seconds: how long the server is away.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="refuse", seconds=seconds, **when)

    @classmethod
    def reset(cls, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that resets the TCP connection in place of an answer.

        Args:
            taken: True executes the request all the same; on a stream or a session: reset in the middle.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="reset", taken=taken, **when)

    @classmethod
    def close(cls, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that closes the connection in order, without an answer: "server disconnected".

        Args:
            taken: True executes the request all the same; on a stream or a session: close in the middle.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="close", taken=taken, **when)

    @classmethod
    def stall(cls, seconds: float, *, where: str = "headers", taken: bool = True, **when: Any) -> Fault:
        """Return a fault that delays an answer.

        Args:
            seconds: length of the silence, after which the answer goes on.
            where: "headers" (default): before the headers; "body": in the middle of the body.
            taken: False (with "headers" only) executes nothing and closes the connection after the silence.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="stall", seconds=seconds, where=where, taken=taken, **when)

    @classmethod
    def drip(cls, interval: float, **when: Any) -> Fault:
        """Return a fault that sends the real body slowly.

        Args:
            interval: seconds after each byte.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="drip", seconds=interval, **when)

    @classmethod
    def truncate(cls, *, cut: str = "event", **when: Any) -> Fault:
        """Return a fault that sends half of the body that the headers announced, then closes the connection.

        A stream or a session breaks off within event or message number `events`.

        Args:
            cut: where a stream breaks off: in the middle of the "event" (default), within its first multi-byte
                "character", or in the middle of the event in a body that ends in order ("clean").
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="truncate", cut=cut, **when)

    @classmethod
    def overtaken(cls, *, on: str = "submit", **when: Any) -> Fault:
        """Return a fault that holds a submit's answer until the request has ended and its webhook was tried once.

        Args:
            on: "submit", the only operation that it can strike.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="overtaken", on=on, **when)

    # Other answers.

    @classmethod
    def answer(
        cls,
        status: int,
        *,
        taken: bool = False,
        retry_after: float | datetime | str | None = None,
        fal_headers: bool = True,
        detail: Any = None,
        error_type: str | None = None,
        needs_retry: bool | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        **when: Any,
    ) -> Fault:
        """Return a fault that answers with another status.

        Args:
            status: HTTP status, 200 to 599.
            taken: True executes the request all the same, unless its answer is a stream or a session.
            retry_after: the header `Retry-After`: seconds, a datetime (sent as an HTTP date), or the header's value
                as a str. None (default): no such header.
            fal_headers: True (default) answers in fal's form, with `x-fal-request-id`; False with nginx's page.
            detail: `detail` of the body. None (default): what fits the status.
            error_type: `error_type` of the body. None (default): what fits the status.
            needs_retry: the header `X-Fal-Needs-Retry`. None (default): no such header.
            headers: more headers. None (default): none.
            body: the whole body, instead of the one that fits the status. None (default): that one.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(
            kind="answer",
            status=status,
            taken=taken,
            retry_after=_retry_after(retry_after),
            fal_headers=fal_headers,
            detail=detail,
            error_type=error_type,
            needs_retry=needs_retry,
            headers=headers or {},
            body=body,
            **when,
        )

    @classmethod
    def html(cls, status: int = 502, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that answers with nginx's own page and none of fal's headers (protocol 9.3).

        Args:
            status: HTTP status, 200 to 599; default 502.
            taken: True executes the request all the same.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="html", status=status, taken=taken, **when)

    @classmethod
    def balance(cls, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that answers 403, exhausted balance (protocol 9.4).

        Args:
            taken: True executes the request all the same.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="balance", taken=taken, **when)

    @classmethod
    def vanish(cls, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that answers 404 `{"status":"NOT_FOUND"}`, as fal does for an expired request.

        Args:
            taken: True executes the request all the same.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="vanish", taken=taken, **when)

    @classmethod
    def redirect(cls, url: str, status: int = 307, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that redirects.

        Args:
            url: the target.
            status: 301, 302, 303, 307 (default) or 308.
            taken: True executes the request all the same.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="redirect", url=url, status=status, taken=taken, **when)

    # The real answer, changed.

    @classmethod
    def wrong_json(cls, body: str | None = None, **when: Any) -> Fault:
        """Return a fault that breaks the JSON of an answer, which is complete as HTTP.

        Args:
            body: what to send instead. None (default): the first half of the real body, event or frame.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="wrong_json", body=body, **when)

    @classmethod
    def content_type(cls, content_type: str, **when: Any) -> Fault:
        """Return a fault that changes the header `Content-Type` of the real answer.

        Args:
            content_type: the value to send.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="content_type", body=content_type, **when)

    @classmethod
    def missing(cls, *names: str, **when: Any) -> Fault:
        """Return a fault that leaves top-level fields out of the real answer.

        Args:
            *names: names of the fields.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="missing", names=names, **when)

    @classmethod
    def replace(cls, fields: Mapping[str, Any], **when: Any) -> Fault:
        """Return a fault that replaces top-level fields of the real answer.

        Args:
            fields: the fields with their new values.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="replace", fields=fields, **when)

    @classmethod
    def word(cls, status: str, **when: Any) -> Fault:
        """Return a fault that replaces the status of a request by an undocumented word.

        Args:
            status: the word, such as "PAUSED".
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="word", body=status, **when)

    @classmethod
    def back(cls, position: int = 0, **when: Any) -> Fault:
        """Return a fault that reports IN_QUEUE whatever the real status is, so that it goes back.

        Args:
            position: the `queue_position`; default 0.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="back", position=position, **when)

    @classmethod
    def duplicate(cls, **when: Any) -> Fault:
        """Return a fault that sends each event or message twice; in a polled status, each log entry.

        Args:
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="duplicate", **when)

    @classmethod
    def foreign_urls(cls, base_url: str, **when: Any) -> Fault:
        """Return a fault that puts status_url, response_url and cancel_url under another base URL.

        Args:
            base_url: what takes the place of `https://queue.fal.run`.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="foreign_urls", url=base_url.rstrip("/"), **when)

    # Streams and realtime sessions: after `events` events or messages (default 1; 0: before the first).

    @classmethod
    def event(cls, body: str = "", *, event_type: str | None = None, events: int = 1, **when: Any) -> Fault:
        """Return a fault that inserts an event into a stream.

        Args:
            body: the event's data, such as `""` (default), `"[DONE]"` or an error's JSON.
            event_type: the event's type. None (default): none.
            events: number of events before it; default 1.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="event", body=body, event_type=event_type, events=events, **when)

    @classmethod
    def frame(cls, body: str, *, binary: bool = False, events: int = 1, **when: Any) -> Fault:
        """Return a fault that inserts a frame into a realtime session.

        Args:
            body: the frame's text; with `binary`, the JSON of the value to send.
            binary: True sends the value as msgpack; default False.
            events: number of messages before it; default 1.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="frame", body=body, binary=binary, events=events, **when)

    @classmethod
    def ws_close(cls, code: int, reason: str = "", *, events: int = 1, **when: Any) -> Fault:
        """Return a fault that closes a realtime session.

        Args:
            code: close code, from 1000.
            reason: close reason; default empty.
            events: number of messages before it; default 1.
            **when: which calls it strikes, see `Fault`.
        """
        return cls(kind="ws_close", code=code, body=reason, events=events, **when)

    @classmethod
    def from_json(cls, document: Any) -> Fault:
        """Return the fault that a JSON object of `POST /_emulator/faults` describes.

        Args:
            document: a dict with a `kind`; the other keys are names of fields.

        Raises:
            ValueError: If it is not such a dict, or a field is unknown or has a bad value.
        """
        names = {field.name for field in attrs.fields(cls)}
        if not isinstance(document, dict) or "kind" not in document:
            raise ValueError(f"expected a JSON object with a 'kind', one of {', '.join(KINDS)}")
        if unknown := sorted(set(document) - names):
            raise ValueError(
                f"unknown field(s) {', '.join(unknown)}: expected some of {', '.join(sorted(names))}"
            )
        kind = document["kind"]
        values = {**DEFAULTS.get(kind if isinstance(kind, str) else "", {}), **document}
        if "retry_after" in values:
            values["retry_after"] = _retry_after(values["retry_after"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values, as `from_json` reads them."""
        return {**attrs.asdict(self), "names": list(self.names)}


def _retry_after(value: Any) -> Any:
    """RFC 9110, 10.2.3: a number of seconds or an HTTP date."""
    if isinstance(value, datetime):
        return format_datetime(value.astimezone(UTC), usegmt=True)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return value
