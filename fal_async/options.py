"""The options of one call to a model, validated when created. `protocol/options.py` turns them into headers.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from inspect import cleandoc
from typing import Any, Literal, TypedDict, TypeVar

import attrs

from fal_async.checks import check_flag, check_int, check_kind, check_word, checked, is_seconds
from fal_async.config import CHECKS, Check, RetryPolicy
from fal_async.errors import ConfigurationError, Secret
from fal_async.storage_settings import StorageSettings

Priority = Literal["normal", "low"]
F = TypeVar("F", bound=Callable[..., Any])


_TAG_KEY = (
    r"[a-z0-9._-]{1,64}"  # patterns are compiled on first use, because most calls have no tags or headers
)
_TAG_VALUE = r"[\x20-\x2b\x2d-\x7e]{0,256}"
_MAX_TAGS, _MAX_TAGS_HEADER = 10, 1024


def _strings(what: str, pairs: Mapping[str, str] | None) -> dict[str, str]:
    if pairs is not None and not isinstance(pairs, Mapping):
        raise ConfigurationError(
            f"{what} is of type {type(pairs).__name__}: expected a mapping of str to str"
        )
    for name, value in (pairs or {}).items():
        if not isinstance(value, str | int | float):
            raise ConfigurationError(
                f"{what}: the value of {name!r} is of type {type(value).__name__}: expected str"
            )
    return {str(name): str(value) for name, value in (pairs or {}).items()}


def clean_tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    """Return billing tags as fal's gateway stores them, with names in lower case (protocol 3.1).

    Invalid tags are refused here, because the gateway ignores them without an error.

    Raises:
        ConfigurationError: a tag is invalid, or there are too many.
    """
    clean = {key.lower(): value for key, value in _strings("tags", tags).items()}
    for key, value in clean.items():
        if not re.fullmatch(_TAG_KEY, key) or key.startswith("fal."):
            raise ConfigurationError(
                f"tags: key {key!r}: expected 1 to 64 of a-z 0-9 . _ - and not the prefix 'fal.'"
            )
        if not re.fullmatch(_TAG_VALUE, value):
            raise ConfigurationError(
                f"tags: value of {key!r}: expected up to 256 printable ASCII characters without a comma"
            )
    if len(clean) > _MAX_TAGS:
        raise ConfigurationError(f"tags: got {len(clean)}: expected at most {_MAX_TAGS}")
    if len(tags_header(clean)) > _MAX_TAGS_HEADER:
        raise ConfigurationError(f"tags: expected at most {_MAX_TAGS_HEADER} bytes for all of them together")
    return clean


def tags_header(tags: Mapping[str, str]) -> str:
    """Return the value of fal's header for billing tags."""
    return ",".join(f"{key}={value}" for key, value in tags.items())


_HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_HEADER_VALUE = r"[\t\x20-\x7e\x80-\xff]*"
_OWN_HEADERS = frozenset({"authorization", "content-length", "host", "transfer-encoding", "connection"})


def clean_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers as `str`. Their values are `Secret`, so that no `repr` shows them.

    Raises:
        ConfigurationError: a header is invalid, or only the client may set it, such as Authorization.
    """
    clean = _strings("headers", headers)
    for name, value in clean.items():
        if not re.fullmatch(_HEADER_NAME, name):
            raise ConfigurationError(f"headers: {name!r} is not a valid header name")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(f"headers: {name!r} is set by the client: pass keys as credentials=")
        if not re.fullmatch(_HEADER_VALUE, value):
            raise ConfigurationError(
                f"headers: the value of {name!r} has characters that are not allowed in a header"
            )
    return {name: Secret(value) for name, value in clean.items()}  # such as tokens of gateways and cookies


def _check_header_text(_: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (
        not isinstance(value, str) or not re.fullmatch(_HEADER_VALUE, value) or not value
    ):
        raise ConfigurationError(
            f"{attribute.name}={value!r}: expected a non-empty str that is allowed in a header, or None"
        )


def _check_start_timeout(_: Any, __: Any, value: object) -> None:
    if value is not None and not (is_seconds(value) and value > 0.1):  # type: ignore[operator]
        raise ConfigurationError(f"start_timeout={value!r}: expected seconds > 0.1, or None")


_FLAG, _COUNT = checked(check_flag, or_none=True), checked(check_int, least=0, or_none=True)


class RunOptions(TypedDict, total=False):
    """The options of `run` and `stream`, as the type of their `**options`: see `CallOptions`."""

    hint: str | None
    start_timeout: float | None
    headers: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    storage: StorageSettings | None
    store_io: bool | None
    disable_fallback: bool | None
    inline_below: int | None
    retry: RetryPolicy | None
    check: Check | None


class QueueOptions(RunOptions, total=False):
    """The options of `subscribe`, `submit` and `map`, whose requests go through the queue: see `CallOptions`."""

    priority: Priority | None
    no_retry: bool | None
    max_queue_length: int | None


def _does(line: str) -> dict[str, str]:
    """Return the metadata of an option: its description in one line, for `help()`."""
    return {"does": line}


@attrs.frozen(kw_only=True)
class CallOptions:
    """The validated options of one call to a model (protocol 3.1, 4.1). None: the default of fal or of the session.

    Options marked "queue only" are for `subscribe`, `submit` and `map`.

    Attributes:
        hint: fal prefers a runner that reported this hint (session affinity).
        priority: "normal" or "low"; queue only.
        start_timeout: seconds (more than 0.1) within which a runner must start, else `StartTimeoutError`.
        headers: additional headers of the HTTP request.
        tags: billing tags, added to those of the session.
        storage: a `StorageSettings`: lifetime and access of the files that the model produces.
        store_io: whether fal stores input and output in the request history.
        no_retry: whether to forbid retries by the platform; queue only.
        disable_fallback: whether to forbid a fallback to an equivalent model or provider.
        max_queue_length: the longest queue to join, as an int >= 0, else `RateLimitError`; queue only.
        inline_below: files of fewer bytes are put into the input as `data:` URIs; default: all are uploaded.
        retry: a `RetryPolicy` for this call, in place of the session's.
        check: what is compared with the endpoint's schema before sending: "required" (keys), "schema" or "off".

    Raises:
        ConfigurationError: a value is invalid.
    """

    hint: str | None = attrs.field(
        default=None,
        metadata=_does("fal prefers a runner that reported this hint (session affinity)."),
        validator=_check_header_text,
    )
    priority: Priority | None = attrs.field(
        default=None,
        metadata=_does('"normal" or "low"; queue only.'),
        validator=checked(check_word, words=("normal", "low"), or_none=True),
    )
    start_timeout: float | None = attrs.field(
        default=None,
        metadata=_does("seconds (more than 0.1) within which a runner must start, else `StartTimeoutError`."),
        validator=_check_start_timeout,
    )
    headers: Mapping[str, str] | None = attrs.field(
        default=None,
        metadata=_does("additional headers of the HTTP request."),
        converter=attrs.converters.optional(clean_headers),
    )
    tags: Mapping[str, str] | None = attrs.field(
        default=None,
        metadata=_does("billing tags, added to those of the session."),
        converter=attrs.converters.optional(clean_tags),
    )
    storage: StorageSettings | None = attrs.field(
        default=None,
        metadata=_does("a `StorageSettings`: lifetime and access of the files that the model produces."),
        validator=checked(check_kind, kind=StorageSettings, or_none=True),
    )
    store_io: bool | None = attrs.field(
        default=None,
        metadata=_does("whether fal stores input and output in the request history."),
        validator=_FLAG,
    )
    no_retry: bool | None = attrs.field(
        default=None,
        metadata=_does("whether to forbid retries by the platform; queue only."),
        validator=_FLAG,
    )
    disable_fallback: bool | None = attrs.field(
        default=None,
        metadata=_does("whether to forbid a fallback to an equivalent model or provider."),
        validator=_FLAG,
    )
    max_queue_length: int | None = attrs.field(
        default=None,
        metadata=_does("the longest queue to join, as an int >= 0, else `RateLimitError`; queue only."),
        validator=_COUNT,
    )
    inline_below: int | None = attrs.field(
        default=None,
        metadata=_does(
            "files of fewer bytes are put into the input as `data:` URIs; default: all are uploaded."
        ),
        validator=_COUNT,
    )
    retry: RetryPolicy | None = attrs.field(
        default=None,
        metadata=_does("a `RetryPolicy` for this call, in place of the session's."),
        validator=checked(check_kind, kind=RetryPolicy, or_none=True),
    )
    check: Check | None = attrs.field(
        default=None,
        metadata=_does(
            'what is compared with the endpoint\'s schema before sending: "required" (keys), "schema" or "off".'
        ),
        validator=checked(check_word, words=CHECKS, or_none=True),
    )

    @classmethod
    def of(cls, function: str, given: Mapping[str, Any], known: type[RunOptions]) -> CallOptions:
        """Return the keyword arguments of a call as a `CallOptions`. Without any, it is always the same object.

        Args:
            function: the name of the called function, for the error message.
            given: the keyword arguments. None as a value means the default.
            known: the options that the function accepts: `RunOptions` or `QueueOptions`.

        Returns:
            The validated options.

        Raises:
            TypeError: the function has no argument of this name; the message suggests the one that was probably
                meant.
            ConfigurationError: a value is invalid.
        """
        if not given:
            return NO_OPTIONS
        for name in given:
            if name not in known.__annotations__:
                raise TypeError(_unexpected(function, name, known))
        options = {name: value for name, value in given.items() if value is not None}
        return cls(**options) if options else NO_OPTIONS


ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "run": ("input", "path", "method", "output_type", "timeout"),
    "stream": ("input", "path", "idle_timeout", "output_type"),
    "submit": ("input", "path", "webhook_url", "key", "run", "uncertain"),
    "map": (
        *("inputs", "concurrency", "ordered", "retries", "max_failures", "timeout", "output_type"),
        *("progress", "on_item", "key", "download", "names", "run"),
        *("retry_failed", "extend", "max_cost", "uncertain", "cancel_on_exit"),
    ),
    "FalMapper": (
        *("ledger", "key", "input", "output", "download", "names", "read_files", "concurrency", "on_error"),
        *("retries", "retry_failed", "timeout", "uncertain", "run", "credentials", "hosts", "timeouts"),
    ),
    "subscribe": (
        *("input", "path", "logs", "on_enqueue", "on_queue_update", "mode", "poll_interval", "timeout"),
        *("cancel_on_exit", "webhook_url", "output_type", "key", "run", "uncertain"),
    ),
}
"""The arguments of each call that are not options, so that a misspelt name can be recognised."""
_OTHER_CLIENTS = {
    "arguments": "input",
    "with_logs": "logs",
    "client_timeout": "timeout",
    "storage_settings": "storage",
    "object_lifecycle": "storage",
}
"""Argument names of fal's own clients, in snake case, and the arguments of this client that mean the same."""


def _unexpected(function: str, name: str, known: type[RunOptions]) -> str:
    words = f"{function}() got an unexpected keyword argument {name!r}"
    taken = (*ARGUMENTS[function], *known.__annotations__)
    meant = _meant(name)
    if meant in QueueOptions.__annotations__ and meant not in taken:
        return f"{words}: it is only for requests that go through the queue"
    if meant in ARGUMENTS["subscribe"] and meant not in taken:
        return f"{words}: {meant!r} is only for subscribe()"
    return no_such_argument(function, name, taken, meant)


def _meant(name: str) -> str:
    """Return this client's name for an argument that one of fal's own clients calls `name`; else `name`."""
    snake = re.sub(r"(?<=[a-z])[A-Z]", lambda found: f"_{found[0].lower()}", name)
    return _OTHER_CLIENTS.get(snake, snake)


def no_such_argument(function: str, name: str, taken: Collection[str], meant: str = "") -> str:
    """Return the message of a TypeError, which suggests `meant` or an argument with a similar name."""
    words = f"{function}() got an unexpected keyword argument {name!r}"
    from difflib import get_close_matches  # rarely needed, and slow to import

    close = [meant] if meant in taken else get_close_matches(name, taken, n=1)
    return f"{words}: did you mean {close[0]!r}?" if close else words


def refuse_unknown(
    function: str, unknown: Collection[str], annotations: Collection[str], elsewhere: Mapping[str, str] = {}
) -> None:
    """Raise TypeError for an argument that a function without options does not take.

    `elsewhere`: names of other clients, and the arguments of this function that they mean, in addition to those of
    `_OTHER_CLIENTS`.
    """
    for name in unknown:
        taken = [known for known in annotations if known not in ("unknown", "return")]
        raise TypeError(no_such_argument(function, name, taken, elsewhere.get(name, _meant(name))))


NO_OPTIONS = CallOptions()


def documented(known: type[RunOptions]) -> Callable[[F], F]:
    """Return a decorator that adds the options to a docstring, because `help()` shows only `**options`."""
    fields = [field for field in attrs.fields(CallOptions) if field.name in known.__annotations__]
    lines = [f"    {field.name}: {field.metadata['does']}" for field in fields]

    def decorate(function: F) -> F:
        if function.__doc__:  # None under `python -OO`
            function.__doc__ = "\n".join([cleandoc(function.__doc__), "", "Options:", *lines])
        return function

    return decorate
