"""How a caller describes a submit without a response: by its error, or by endpoint, input and time. Pure."""

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
"""Unix seconds of the year 5138: a larger number is probably in milliseconds."""


def lost_of(error: BaseException, **beside: Any) -> LostSubmit:
    """Return the lost submit of a SubmissionUncertainError, or of an error caused by one.

    Raises ConfigurationError for any other error, or if one of `beside` is not None, because the error has that
    value.
    """
    check_kind("error", error, kind=BaseException)
    given = [name for name, value in beside.items() if value is not None]
    if given:
        raise ConfigurationError(
            f"{given[0]}= can't be combined with an error, which already contains it: "
            f"pass an endpoint id, or omit {given[0]}="
        )
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SubmissionUncertainError):
        cause = cause.__cause__
    if cause is None:
        raise ConfigurationError(
            f"error is of type {type(error).__name__}: "
            "expected a SubmissionUncertainError, or an error caused by one"
        )
    if cause.operation != "submit":
        raise ConfigurationError(
            f"the error is about a {cause.operation}, which has no request handle: "
            "only a submit can be found in fal's history",
            endpoint_id=cause.endpoint_id,
        )
    if cause.endpoint_id is None or cause.input_digest is None or cause.started_at is None:
        raise ConfigurationError(
            "the error lacks the endpoint, input or time of the submit: pass endpoint id, input and since="
        )
    return LostSubmit(
        endpoint_id=cause.endpoint_id,
        input_digest=cause.input_digest,
        started_at=cause.started_at,
        ended_at=cause.started_at if cause.ended_at is None else cause.ended_at,
    )


def lost_since(endpoint: EndpointId, input: Any, since: Any, until: Any) -> LostSubmit:
    """Return the lost submit of a process that died. Raises ConfigurationError if the input contains files."""
    value = input_value(input)
    if find_files(value):
        raise ConfigurationError(
            f"{place_of(value, 0)} is a file: each upload has another URL, so this input can't be recognised. "
            "Upload the file first with storage.upload(...), store the URL, and pass the URL instead",
            endpoint_id=endpoint.full,
        )
    _check_moment("since", since)
    if until is not None:
        _check_moment("until", until)
        if until < since:
            raise ConfigurationError(f"until={until!r} is before since={since!r}: expected until >= since")
    digest = digest_of(encode_json(value))
    return LostSubmit(endpoint_id=endpoint.full, input_digest=digest, started_at=since, ended_at=until)


def check_exclude(exclude: object) -> None:
    """Raise ConfigurationError for a str, which is a collection of characters, or if it is not a collection."""
    if isinstance(exclude, str) or not isinstance(exclude, Collection):
        raise ConfigurationError(
            f"exclude is of type {type(exclude).__name__}: expected a list of request ids"
        )


def _check_moment(name: str, value: object) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST:
        return
    shown = (
        f"{name}={value!r}" if isinstance(value, int | float) else f"{name} is of type {type(value).__name__}"
    )
    hint = ": pass its .timestamp()" if hasattr(value, "timestamp") else " such as time.time()"
    raise ConfigurationError(f"{shown}: expected Unix seconds{hint}")
