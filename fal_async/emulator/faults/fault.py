"""Scripted faults as values.

`kinds.py` lists the classes that do what each kind does; `script.py` decides which call gets which fault. Citations
such as (protocol 9.3) are sections of `fal_async/protocol/README.md`.
"""

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

    Add it with `emulator.faults.add(...)`. `emulator.faults.struck` counts the calls that got a fault.

    Every constructor also takes, as `**when`, the keyword arguments that select its calls: `on`, `endpoint_id`,
    `times`, `after` and `chance`; and `events`, if its kind uses it. Seconds are real seconds, since the client's
    time limits are: the emulator's `speed` does not shorten them.

    Attributes:
        kind: what goes wrong: the name of the constructor, such as "reset".
        on: the operation whose calls get the fault; default "any". Models: run, submit, status, status_stream,
            result, cancel, stream, realtime, websocket (HTTP over WebSocket). Uploads: cdn_token, initiate, upload,
            multipart, part, complete, gcs_part, gcs_complete. Stored files: file (a download), cdn_sign, storage
            (access and settings on the platform). Others: platform (api.fal.ai), rest (rest.fal.ai, which includes
            realtime_token), realtime_token, token (fal's login), openapi (and llms.txt), key_set (the keys of
            webhooks), kv (kv.fal.media), wma (wma.fal.run).
        endpoint_id: the endpoint whose calls get the fault. None (default): every endpoint.
        times: how many calls get the fault, default 1. None: no limit.
        after: how many matching calls are answered normally before the first one that gets the fault; default 0.
        chance: probability from 0 to 1 that a matching call gets the fault, drawn from the emulator's seeded
            generator; default 1.
        taken: whether the request is executed, although its answer is lost or replaced (with `stall`: late): a
            submit creates a job, a cancel takes effect. Default False, for `stall` True. With `reset` and `close`
            on a stream or a session, True first lets `events` events or messages through. `answer`, `html`,
            `balance`, `vanish` and `redirect` always replace a stream or a session before it starts, so it is never
            executed.
        seconds: length of a silence, of the interval between bytes, or of the time in which connections are
            refused; default 0.
        where: where a stall is silent: before the "headers" (default), or in the middle of the "body".
        status: HTTP status of the answer, for `answer`, `html` (default 502) and `redirect` (default 307).
        retry_after: value of the header `Retry-After`. None (default): no such header.
        fal_headers: whether the answer has fal's form, with `x-fal-request-id`; default True. If False, it is an
            HTML page of nginx, as fal's gateway sends it.
        detail: `detail` of the answer's body. None (default): one that fits the status.
        error_type: `error_type` of the answer's body. None (default): one that fits the status.
        needs_retry: value of the header `X-Fal-Needs-Retry`. None (default): no such header.
        headers: more headers of the answer; default none.
        body: the replacement body, event, frame, content type, status word or close reason. None (default): an
            `answer` has a body that fits its status, `wrong_json` sends half of the real one, and an `event` and
            the reason of a `ws_close` are empty.
        names: names of the fields that are left out.
        fields: the fields that are replaced, with their new values.
        position: `queue_position` of a status that goes back; default 0.
        url: target of a redirect, or base URL of foreign URLs.
        events: the place in a stream or a session where the fault applies; default 1. `truncate` and `wrong_json`
            change event or message number `events`, counted from 1. All other kinds act after `events` events or
            messages; 0 is before the first. In a status stream it is ignored: the fault applies to the first event.
        event_type: type of the additional event. None (default): none.
        binary: whether the additional frame is sent as msgpack; default False.
        code: close code of a session, 1000 or higher.
        cut: where a stream breaks off: in the middle of an "event" (default), in the middle of a "character", or in
            the middle of an event while the body ends normally ("clean").

    Raises:
        ValueError: If a value is out of range or of the wrong type, if a field is given that the kind does not use,
            or if two fields contradict each other.
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
        usable = fields_of(self.kind) | WHEN
        if unused := sorted(self._given().keys() - usable - {"kind"}):
            raise ValueError(
                f"a fault of kind {self.kind!r} has no field {unused[0]!r}: expected some of "
                f"{', '.join(sorted(usable))}"
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
        """Return a fault that resets the call's connection, and all others, and refuses new ones for a while.

        Args:
            seconds: how long the emulator refuses connections.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="refuse", seconds=seconds, **when)

    @classmethod
    def reset(cls, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that resets the TCP connection in place of an answer.

        Args:
            taken: whether the request is executed before the reset; default False. True on a stream or a session:
                the reset comes after `events` events or messages (default 1).
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls; `events`: see `Fault`.
        """
        return cls(kind="reset", taken=taken, **when)

    @classmethod
    def close(cls, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that closes the connection normally, but without an answer: "server disconnected".

        Args:
            taken: whether the request is executed before the connection is closed; default False. True on a stream
                or a session: it is closed after `events` events or messages (default 1).
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls; `events`: see `Fault`.
        """
        return cls(kind="close", taken=taken, **when)

    @classmethod
    def stall(cls, seconds: float, *, where: str = "headers", taken: bool = True, **when: Any) -> Fault:
        """Return a fault that delays an answer.

        Args:
            seconds: length of the silence, after which the answer continues.
            where: "headers" (default): before the headers; "body": in the middle of the body, or in a stream or a
                session after `events` events or messages (default 1). A silent session answers no ping.
            taken: whether the request is executed; default True. If False, nothing is executed, and the
                connection is closed after the silence; this needs `where="headers"`.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls; `events`: see `Fault`.
        """
        return cls(kind="stall", seconds=seconds, where=where, taken=taken, **when)

    @classmethod
    def drip(cls, interval: float, **when: Any) -> Fault:
        """Return a fault that sends the real body slowly.

        Args:
            interval: seconds after each byte.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="drip", seconds=interval, **when)

    @classmethod
    def truncate(cls, *, cut: str = "event", **when: Any) -> Fault:
        """Return a fault that sends half of the body that the headers announced, then closes the connection.

        A stream or a session breaks off within event or message number `events`, counted from 1: with `events=1`
        (default) the caller gets a part of the first one, with `events=2` the first one and a part of the second.
        With `events=0` a stream ends after its headers; a session is not changed. A status stream always breaks
        off within its first event.

        Args:
            cut: where a stream breaks off. "event" (default): in the middle of the event. "character": within its
                first multi-byte character, or in the middle if it has none. "clean": in the middle of the event,
                but the HTTP body ends normally, so that the client sees no
                connection error.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls; `events`: see `Fault`.
        """
        return cls(kind="truncate", cut=cut, **when)

    @classmethod
    def overtaken(cls, *, on: str = "submit", **when: Any) -> Fault:
        """Return a fault that delays a submit's answer, so that the webhook arrives before it.

        The answer is sent when the request is completed and its webhook, if it has one, was tried once.

        Args:
            on: "submit" (default), the only operation that the fault can apply to.
            **when: `endpoint_id`, `times`, `after` and `chance`, which select the calls: see `Fault`.
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
            taken: whether the request is executed before this answer is sent; default False. A stream or a session
                is never executed.
            retry_after: the header `Retry-After`: seconds, a datetime (sent as an HTTP date), or the header's value
                as a str. None (default): no such header.
            fal_headers: whether the answer has fal's form, with `x-fal-request-id`; default True. If False, it is
                the page of `html`.
            detail: `detail` of the body. None (default): one that fits the status.
            error_type: `error_type` of the body. None (default): one that fits the status.
            needs_retry: the header `X-Fal-Needs-Retry`, True for 1 and False for 0. None (default): no such header.
            headers: more headers. None (default): none.
            body: the whole body. None (default): one that fits the status.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
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
        """Return a fault that answers with an HTML page of nginx, without fal's headers (protocol 9.3).

        Args:
            status: HTTP status, 200 to 599; default 502.
            taken: whether the request is executed before this answer is sent; default False. A stream or a session
                is never executed.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="html", status=status, taken=taken, **when)

    @classmethod
    def balance(cls, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that answers 403, exhausted balance (protocol 9.4).

        Args:
            taken: whether the request is executed before this answer is sent; default False. A stream or a session
                is never executed.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="balance", taken=taken, **when)

    @classmethod
    def vanish(cls, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that answers 404 `{"status":"NOT_FOUND"}`, as fal does for an expired request.

        Args:
            taken: whether the request is executed before this answer is sent; default False. A stream or a session
                is never executed.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="vanish", taken=taken, **when)

    @classmethod
    def redirect(cls, url: str, status: int = 307, *, taken: bool = False, **when: Any) -> Fault:
        """Return a fault that answers with a redirect.

        Args:
            url: target, the value of the header `Location`.
            status: 301, 302, 303, 307 (default) or 308.
            taken: whether the request is executed before this answer is sent; default False. A stream or a session
                is never executed.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="redirect", url=url, status=status, taken=taken, **when)

    # The real answer, changed.

    @classmethod
    def wrong_json(cls, body: str | None = None, **when: Any) -> Fault:
        """Return a fault that makes the JSON of an answer invalid, while the HTTP response is complete.

        In a stream or a session, only event or message number `events` (counted from 1, default 1) is broken.

        Args:
            body: replacement for the body, event or message. None (default): the first half of the real one.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls; `events`: see `Fault`.
        """
        return cls(kind="wrong_json", body=body, **when)

    @classmethod
    def content_type(cls, content_type: str, **when: Any) -> Fault:
        """Return a fault that changes the header `Content-Type` of the real answer.

        Args:
            content_type: the value to send.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="content_type", body=content_type, **when)

    @classmethod
    def missing(cls, *names: str, **when: Any) -> Fault:
        """Return a fault that leaves top-level fields out of the real answer.

        Args:
            *names: names of the fields.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="missing", names=names, **when)

    @classmethod
    def replace(cls, fields: Mapping[str, Any], **when: Any) -> Fault:
        """Return a fault that replaces top-level fields of the real answer.

        Args:
            fields: the fields with their new values.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="replace", fields=fields, **when)

    @classmethod
    def word(cls, status: str, **when: Any) -> Fault:
        """Return a fault that replaces the status of a request by another word.

        Args:
            status: the word: an undocumented one, such as "PAUSED"; or, with `on="submit"`, "IN_PROGRESS", which
                fal was seen to answer at once (protocol 4.1). Any word but "IN_QUEUE" removes `queue_position`.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="word", body=status, **when)

    @classmethod
    def back(cls, position: int = 0, **when: Any) -> Fault:
        """Return a fault that reports IN_QUEUE whatever the real status is, as if the request were queued again.

        Args:
            position: the `queue_position` that is reported; default 0.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="back", position=position, **when)

    @classmethod
    def duplicate(cls, **when: Any) -> Fault:
        """Return a fault that sends each event or message twice; in a polled status, each log entry.

        Args:
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="duplicate", **when)

    @classmethod
    def foreign_urls(cls, base_url: str, **when: Any) -> Fault:
        """Return a fault that puts status_url, response_url and cancel_url under another base URL.

        Args:
            base_url: replacement for `https://queue.fal.run`.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="foreign_urls", url=base_url.rstrip("/"), **when)

    # Insertions into streams and realtime sessions.

    @classmethod
    def event(cls, body: str = "", *, event_type: str | None = None, events: int = 1, **when: Any) -> Fault:
        """Return a fault that inserts an event into a stream.

        Args:
            body: the event's data, such as `""` (default), `"[DONE]"` or an error's JSON.
            event_type: the event's type. None (default): none.
            events: how many events are sent before it; default 1, 0: it is the first.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="event", body=body, event_type=event_type, events=events, **when)

    @classmethod
    def frame(cls, body: str, *, binary: bool = False, events: int = 1, **when: Any) -> Fault:
        """Return a fault that inserts a frame into a realtime session.

        Args:
            body: the frame's text; with `binary`, the JSON of the value to send.
            binary: whether the value is sent as msgpack; default False.
            events: how many messages are sent before it; default 1, 0: it is the first.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="frame", body=body, binary=binary, events=events, **when)

    @classmethod
    def ws_close(cls, code: int, reason: str = "", *, events: int = 1, **when: Any) -> Fault:
        """Return a fault that closes a realtime session.

        Args:
            code: close code, 1000 or higher.
            reason: close reason; default empty.
            events: how many messages are sent before the close; default 1, 0: none.
            **when: `on`, `endpoint_id`, `times`, `after`, `chance`, which select the calls: see `Fault`.
        """
        return cls(kind="ws_close", code=code, body=reason, events=events, **when)

    @classmethod
    def from_json(cls, document: Any) -> Fault:
        """Return the fault that a JSON object of `POST /_emulator/faults` describes.

        Args:
            document: a dict with `kind`; its other keys are names of attributes of `Fault`.

        Raises:
            ValueError: If `document` is not such a dict, or if a field is unknown, has a bad value, or is not used
                by the kind.
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
    """Return the header's value: seconds or an HTTP date (RFC 9110, 10.2.3)."""
    if isinstance(value, datetime):
        return format_datetime(value.astimezone(UTC), usegmt=True)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return value
