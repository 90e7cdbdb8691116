"""Scripted faults: what may go wrong, as values. What a kind does: `kinds.py`. Which call gets it: `script.py`."""

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
    """One thing that goes wrong. Make it by a constructor: `Fault.reset(on="submit", taken=True)`.

    When it strikes, for every kind: `on` (an operation, default "any"), `endpoint_id` (None: all),
    `times` (so many calls, default 1; None: for ever), `after` (let the first n pass),
    `chance` (0 to 1, drawn from the emulator's seeded generator).
    `taken=True` means that the request was executed all the same: the job exists, the cancel went through.
    On a stream or a session it means: in the middle, after `events` events or messages (default 1).
    Seconds are real ones: they meet the client's time limits, so `speed` does not shorten them.
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
            raise ValueError(f"chance={self.chance!r}: expected a probability from 0 to 1")
        meaningful = fields_of(self.kind) | WHEN
        if senseless := sorted(self._given().keys() - meaningful):
            raise ValueError(
                f"{self.kind!r} takes no {senseless[0]!r}: it takes {', '.join(sorted(meaningful))}"
            )
        _ = self.effect  # made now, so that it checks its fields

    @property
    def effect(self) -> Effect:
        """What it does."""
        return KINDS[self.kind](**{name: getattr(self, name) for name in fields_of(self.kind)})

    def _given(self) -> dict[str, Any]:
        """The fields that say something else than their default."""
        said = {}
        for field in attrs.fields(Fault):
            default = {} if field.name in ("headers", "fields") else field.default
            if (value := getattr(self, field.name)) != default:
                said[field.name] = value
        return said

    # The connection.

    @classmethod
    def refuse(cls, seconds: float, **when: Any) -> Fault:
        """The whole server goes away for `seconds`: this connection is reset, new ones are refused."""
        return cls(kind="refuse", seconds=seconds, **when)

    @classmethod
    def reset(cls, *, taken: bool = False, **when: Any) -> Fault:
        """TCP reset in place of an answer."""
        return cls(kind="reset", taken=taken, **when)

    @classmethod
    def close(cls, *, taken: bool = False, **when: Any) -> Fault:
        """The connection is closed in order, without an answer: "server disconnected"."""
        return cls(kind="close", taken=taken, **when)

    @classmethod
    def stall(cls, seconds: float, *, where: str = "headers", taken: bool = True, **when: Any) -> Fault:
        """Silence for `seconds` before the headers or in the middle of the body, then the answer goes on.

        With `taken=False` (before the headers only) nothing is executed and the connection is closed.
        """
        return cls(kind="stall", seconds=seconds, where=where, taken=taken, **when)

    @classmethod
    def drip(cls, interval: float, **when: Any) -> Fault:
        """The real body, one byte each `interval` seconds."""
        return cls(kind="drip", seconds=interval, **when)

    @classmethod
    def truncate(cls, *, cut: str = "event", **when: Any) -> Fault:
        """Half of the body that the headers promised, then the connection is closed.

        A stream or a session breaks off within event or message number `events`; `cut="character"`: within
        its first character of several bytes; `cut="clean"`: in a body that ends in order all the same.
        """
        return cls(kind="truncate", cut=cut, **when)

    @classmethod
    def overtaken(cls, *, on: str = "submit", **when: Any) -> Fault:
        """Of a submit: the answer leaves when the request has ended, and its webhook was tried once."""
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
        """This status. `fal_headers=True`: in fal's shape, with `x-fal-request-id`; False: nginx's page.

        `retry_after`: seconds, or a moment (sent as an HTTP date), or the header's text itself.
        `needs_retry` sends `X-Fal-Needs-Retry`. `body` replaces the body that the status would have.
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
        """nginx's own page, without any of fal's headers (protocol 9.3). With 200 too."""
        return cls(kind="html", status=status, taken=taken, **when)

    @classmethod
    def balance(cls, *, taken: bool = False, **when: Any) -> Fault:
        """403 of an account without money (protocol 9.4)."""
        return cls(kind="balance", taken=taken, **when)

    @classmethod
    def vanish(cls, *, taken: bool = False, **when: Any) -> Fault:
        """404 `{"status":"NOT_FOUND"}`, as after retention."""
        return cls(kind="vanish", taken=taken, **when)

    @classmethod
    def redirect(cls, url: str, status: int = 307, *, taken: bool = False, **when: Any) -> Fault:
        """301, 302, 303, 307 or 308 to `url`."""
        return cls(kind="redirect", url=url, status=status, taken=taken, **when)

    # The real answer, spoilt.

    @classmethod
    def wrong_json(cls, body: str | None = None, **when: Any) -> Fault:
        """A complete answer whose JSON breaks off; or exactly this text."""
        return cls(kind="wrong_json", body=body, **when)

    @classmethod
    def content_type(cls, content_type: str, **when: Any) -> Fault:
        return cls(kind="content_type", body=content_type, **when)

    @classmethod
    def missing(cls, *names: str, **when: Any) -> Fault:
        """Without these top-level fields."""
        return cls(kind="missing", names=names, **when)

    @classmethod
    def replace(cls, fields: Mapping[str, Any], **when: Any) -> Fault:
        """With these top-level fields in place of the real ones."""
        return cls(kind="replace", fields=fields, **when)

    @classmethod
    def word(cls, status: str, **when: Any) -> Fault:
        """A status word that nobody documented."""
        return cls(kind="word", body=status, **when)

    @classmethod
    def back(cls, position: int = 0, **when: Any) -> Fault:
        """IN_QUEUE at `position`, whatever is true: a status that goes back."""
        return cls(kind="back", position=position, **when)

    @classmethod
    def duplicate(cls, **when: Any) -> Fault:
        """Every event of a status stream twice; in a polled status, every log entry twice."""
        return cls(kind="duplicate", **when)

    @classmethod
    def foreign_urls(cls, base_url: str, **when: Any) -> Fault:
        """status_url, response_url and cancel_url under another base URL."""
        return cls(kind="foreign_urls", url=base_url.rstrip("/"), **when)

    # Streams and realtime sessions: after `events` events or messages (default 1; 0: before the first).

    @classmethod
    def event(cls, body: str = "", *, event_type: str | None = None, events: int = 1, **when: Any) -> Fault:
        """One more event with exactly this text as its data, such as `""`, `"[DONE]"` or an error's JSON."""
        return cls(kind="event", body=body, event_type=event_type, events=events, **when)

    @classmethod
    def frame(cls, body: str, *, binary: bool = False, events: int = 1, **when: Any) -> Fault:
        """One more frame: this text; or, with `binary`, the JSON value that it holds, as msgpack."""
        return cls(kind="frame", body=body, binary=binary, events=events, **when)

    @classmethod
    def ws_close(cls, code: int, reason: str = "", *, events: int = 1, **when: Any) -> Fault:
        """The session is closed with this code and reason."""
        return cls(kind="ws_close", code=code, body=reason, events=events, **when)

    @classmethod
    def from_json(cls, document: Any) -> Fault:
        """From the admin route's JSON: the names are those of the fields. ValueError says what is wrong."""
        names = {field.name for field in attrs.fields(cls)}
        if not isinstance(document, dict) or "kind" not in document:
            raise ValueError(f"a fault is an object with a 'kind': one of {', '.join(KINDS)}")
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
        return {**attrs.asdict(self), "names": list(self.names)}


def _retry_after(value: Any) -> Any:
    """RFC 9110, 10.2.3: a number of seconds or an HTTP date."""
    if isinstance(value, datetime):
        return format_datetime(value.astimezone(UTC), usegmt=True)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return value
