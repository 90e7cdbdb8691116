"""HTTP answers as JSON values, from which exactly the same bytes are made again."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
from multidict import CIMultiDict

from fal_async.emulator.wire.answers import JSON, Answer, json_answer

_JSON_ALONE = [("Content-Type", JSON)]


@attrs.frozen(kw_only=True)
class SavedAnswer:
    """An answer; `form` tells what `body` is: "json" (a value), "text" or "base64"."""

    status: int = 200
    headers: list[tuple[str, str]] = attrs.field(factory=lambda: list(_JSON_ALONE))
    form: str = "json"
    body: Any = None


def saved_answer(answer: Answer) -> SavedAnswer:
    headers = [(name, value) for name, value in answer.headers.items()]
    form, body = _saved_body(answer.body)
    return SavedAnswer(status=answer.status, headers=headers, form=form, body=body)


def _saved_body(body: bytes) -> tuple[str, Any]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "base64", base64.b64encode(body).decode()
    try:
        value = json.loads(text)
        is_plain = json.dumps(value, separators=(",", ":"), allow_nan=False) == text
    except (ValueError, RecursionError):
        is_plain = False
    return ("json", value) if is_plain else ("text", text)


def answer_of(saved: SavedAnswer) -> Answer:
    """Return the answer. Raise ValueError for an unknown form."""
    if saved.form == "json" and saved.headers == _JSON_ALONE:
        return json_answer(saved.body, saved.status)  # whose headers are one value for all jobs
    if saved.form == "json":
        body = json.dumps(saved.body, separators=(",", ":")).encode()
    elif saved.form == "text":
        body = str(saved.body).encode()
    elif saved.form == "base64":
        body = base64.b64decode(saved.body, validate=True)
    else:
        raise ValueError(f"form {saved.form!r}: expected json, text or base64")
    names = {name.lower() for name, _ in saved.headers}
    several = len(names) < len(saved.headers)
    return Answer(saved.status, CIMultiDict(saved.headers) if several else dict(saved.headers), body)
