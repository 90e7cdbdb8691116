"""What a user says of a submit that was never answered: its error, or what was sent where and since when. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fal_async.checks import check_kind
from fal_async.errors import ConfigurationError, SubmissionUncertainError
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.json_input import digest_of, encode_json, input_value
from fal_async.protocol.request_history import LostSubmit
from fal_async.protocol.storage.input_files import find_files, place_of

_LATEST = 1e11
"""Unix seconds of the year 5138: what is more was meant as milliseconds."""


def lost_of(error: BaseException, **beside: Any) -> LostSubmit:
    """Out of a SubmissionUncertainError, or an error that one is the cause of. ConfigurationError without it, and
    where one of `beside` is given: an error says all of it."""
    check_kind("error", error, kind=BaseException)
    given = [name for name, value in beside.items() if value is not None]
    if given:
        raise ConfigurationError(f"{given[0]}= goes with an endpoint id, not with an error, which says it")
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SubmissionUncertainError):
        cause = cause.__cause__
    if cause is None:
        raise ConfigurationError(
            f"{type(error).__name__} is no SubmissionUncertainError, nor caused by one: nothing to look for"
        )
    if cause.operation != "submit":
        raise ConfigurationError(
            f"a {cause.operation} has no handle: only a submit can be found again",
            endpoint_id=cause.endpoint_id,
        )
    if cause.endpoint_id is None or cause.input_digest is None or cause.started_at is None:
        raise ConfigurationError("this error does not say what was submitted where and when")
    return LostSubmit(
        endpoint_id=cause.endpoint_id,
        input_digest=cause.input_digest,
        started_at=cause.started_at,
        ended_at=cause.started_at if cause.ended_at is None else cause.ended_at,
    )


def lost_since(endpoint: EndpointId, input: Any, since: Any, until: Any) -> LostSubmit:
    """Of a process that died: what it was about to send. ConfigurationError for an input with files in it."""
    value = input_value(input)
    if find_files(value):
        raise ConfigurationError(
            f"{place_of(value, 0)} is a file: each upload of it has another URL, by which this input can't be "
            "recognised. Upload it before, with storage.upload(...), keep the URL, and give it in its place",
            endpoint_id=endpoint.full,
        )
    _check_moment("since", since)
    if until is not None:
        _check_moment("until", until)
        if until < since:
            raise ConfigurationError(f"until={until!r} lies before since={since!r}")
    digest = digest_of(encode_json(value))
    return LostSubmit(endpoint_id=endpoint.full, input_digest=digest, started_at=since, ended_at=until)


def check_exclude(exclude: object) -> None:
    """A text would be compared letter by letter."""
    if isinstance(exclude, str) or not isinstance(exclude, Collection):
        raise ConfigurationError(f"exclude is a {type(exclude).__name__}: expected a list of request ids")


def _check_moment(name: str, value: object) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST:
        return
    shown = f"{name}={value!r}" if isinstance(value, int | float) else f"{name} is a {type(value).__name__}"
    hint = ": pass its .timestamp()" if hasattr(value, "timestamp") else ", such as time.time() gives them"
    raise ConfigurationError(f"{shown}: expected Unix seconds{hint}")
