"""The options of one call to a model: checked when they are made. `protocol/options.py` makes headers of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from inspect import cleandoc
from typing import Any, Literal, TypedDict, TypeVar

import attrs

from fal_async.checks import check_flag, check_int, check_kind, checked, is_seconds
from fal_async.config import RetryPolicy
from fal_async.errors import ConfigurationError, Secret
from fal_async.storage_settings import StorageSettings

Priority = Literal["normal", "low"]
F = TypeVar("F", bound=Callable[..., Any])


_TAG_KEY = r"[a-z0-9._-]{1,64}"  # patterns are compiled on first use: most calls have none of these
_TAG_VALUE = r"[\x20-\x2b\x2d-\x7e]{0,256}"
_MAX_TAGS, _MAX_TAGS_HEADER = 10, 1024


def _texts(what: str, pairs: Mapping[str, str] | None) -> dict[str, str]:
    if pairs is not None and not isinstance(pairs, Mapping):
        raise ConfigurationError(f"{what}: a {type(pairs).__name__}: expected a mapping of str to str")
    for name, value in (pairs or {}).items():
        if not isinstance(value, str | int | float):
            raise ConfigurationError(
                f"{what}: the value of {name!r} is a {type(value).__name__}: expected str"
            )
    return {str(name): str(value) for name, value in (pairs or {}).items()}


def clean_tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    """Billing tags as the gateway keeps them (protocol 3.1). It silently drops wrong ones: here they fail."""
    clean = {key.lower(): value for key, value in _texts("tags", tags).items()}
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
        raise ConfigurationError(f"tags: {len(clean)} pairs given, at most {_MAX_TAGS} are kept")
    if len(tags_header(clean)) > _MAX_TAGS_HEADER:
        raise ConfigurationError(f"tags: together longer than {_MAX_TAGS_HEADER} bytes")
    return clean


def tags_header(tags: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in tags.items())


_HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_HEADER_VALUE = r"[\t\x20-\x7e\x80-\xff]*"
_OWN_HEADERS = frozenset({"authorization", "content-length", "host", "transfer-encoding", "connection"})


def clean_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """ConfigurationError for what can't be a header, or is this client's own business."""
    clean = _texts("headers", headers)
    for name, value in clean.items():
        if not re.fullmatch(_HEADER_NAME, name):
            raise ConfigurationError(f"headers: {name!r} is no header name")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(f"headers: {name!r} is set by the client: keys go into credentials=")
        if not re.fullmatch(_HEADER_VALUE, value):
            raise ConfigurationError(
                f"headers: the value of {name!r} has characters that no header can carry"
            )
    return {name: Secret(value) for name, value in clean.items()}  # tokens of gateways, cookies


def _check_header_text(_: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (
        not isinstance(value, str) or not re.fullmatch(_HEADER_VALUE, value) or not value
    ):
        raise ConfigurationError(f"{attribute.name}={value!r}: expected str that a header can carry")


def _check_priority(_: Any, __: Any, value: object) -> None:
    if value is not None and not (isinstance(value, str) and value in ("normal", "low")):
        raise ConfigurationError(f"priority={value!r}: expected 'normal' or 'low'")


def _check_start_timeout(_: Any, __: Any, value: object) -> None:
    if value is not None and not (is_seconds(value) and value > 0.1):  # type: ignore[operator]
        raise ConfigurationError(f"start_timeout={value!r}: expected more than 0.1 seconds")


_FLAG, _COUNT = checked(check_flag, or_none=True), checked(check_int, least=0, or_none=True)


class RunOptions(TypedDict, total=False):
    """The options that `run` and `stream` take, for `**options: Unpack[RunOptions]`: see `CallOptions`."""

    hint: str | None
    start_timeout: float | None
    headers: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    storage: StorageSettings | None
    store_io: bool | None
    disable_fallback: bool | None
    inline_below: int | None
    retry: RetryPolicy | None


class QueueOptions(RunOptions, total=False):
    """The options that `subscribe` and `submit` take: a call that goes through the queue."""

    priority: Priority | None
    no_retry: bool | None
    max_queue_length: int | None


def _does(line: str) -> dict[str, str]:
    """Metadata of an option: what it does, in one line, for `help()`."""
    return {"does": line}


@attrs.frozen(kw_only=True)
class CallOptions:
    """The options of one call to a model, checked (protocol 3.1, 4.1). None: fal's, or the session's, default."""

    hint: str | None = attrs.field(
        default=None,
        metadata=_does("prefers a runner that reported this hint (session affinity)."),
        validator=_check_header_text,
    )
    priority: Priority | None = attrs.field(
        default=None, metadata=_does('"normal" or "low"; queue only.'), validator=_check_priority
    )
    start_timeout: float | None = attrs.field(
        default=None,
        metadata=_does("seconds, above 0.1, until a runner must have started; else `StartTimeoutError`."),
        validator=_check_start_timeout,
    )
    headers: Mapping[str, str] | None = attrs.field(
        default=None,
        metadata=_does("further request headers."),
        converter=attrs.converters.optional(clean_headers),
    )
    tags: Mapping[str, str] | None = attrs.field(
        default=None, metadata=_does("billing tags."), converter=attrs.converters.optional(clean_tags)
    )
    storage: StorageSettings | None = attrs.field(
        default=None,
        metadata=_does("a `StorageSettings`: lifetime and access of the media that the model produces."),
        validator=checked(check_kind, kind=StorageSettings, or_none=True),
    )
    store_io: bool | None = attrs.field(
        default=None,
        metadata=_does("False: fal does not keep input and output in the request history."),
        validator=_FLAG,
    )
    no_retry: bool | None = attrs.field(
        default=None, metadata=_does("True: the platform does not retry; queue only."), validator=_FLAG
    )
    disable_fallback: bool | None = attrs.field(
        default=None, metadata=_does("True: no fallback to an equivalent model or provider."), validator=_FLAG
    )
    max_queue_length: int | None = attrs.field(
        default=None,
        metadata=_does("`RateLimitError` if the endpoint's queue is longer; queue only."),
        validator=_COUNT,
    )
    inline_below: int | None = attrs.field(
        default=None,
        metadata=_does(
            "files in the input of fewer bytes go inside it, as `data:` URIs; default: all are uploaded."
        ),
        validator=_COUNT,
    )
    retry: RetryPolicy | None = attrs.field(
        default=None,
        metadata=_does("a `RetryPolicy` for this call, in place of the session's."),
        validator=checked(check_kind, kind=RetryPolicy, or_none=True),
    )

    @classmethod
    def of(cls, function: str, given: Mapping[str, Any], known: type[RunOptions]) -> CallOptions:
        """The keyword arguments of a call as a value; without any, always the same one.

        Raises:
            TypeError: `function` takes no argument of this name; says which one may be meant.
            ConfigurationError: a wrong value.
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
    "subscribe": (
        *("input", "path", "logs", "on_enqueue", "on_queue_update", "mode", "poll_interval", "timeout"),
        *("cancel_on_exit", "webhook_url", "output_type", "key", "run", "uncertain"),
    ),
}
"""What the calls take by name beside their options."""
_OTHER_CLIENTS = {
    "arguments": "input",
    "with_logs": "logs",
    "client_timeout": "timeout",
    "storage_settings": "storage",
    "object_lifecycle": "storage",
}
"""Names that fal's own clients have, once they are in snake case."""


def _unexpected(function: str, name: str, known: type[RunOptions]) -> str:
    words = f"{function}() got an unexpected keyword argument {name!r}"
    taken = (*ARGUMENTS[function], *known.__annotations__)
    meant = _meant(name)
    if meant in QueueOptions.__annotations__ and meant not in taken:
        return f"{words}: it is for requests that go through the queue"
    if meant in ARGUMENTS["subscribe"] and meant not in taken:
        return f"{words}: {meant!r} is for subscribe()"
    return no_such_argument(function, name, taken, meant)


def _meant(name: str) -> str:
    """What one of fal's own clients calls so."""
    snake = re.sub(r"(?<=[a-z])[A-Z]", lambda found: f"_{found[0].lower()}", name)
    return _OTHER_CLIENTS.get(snake, snake)


def no_such_argument(function: str, name: str, taken: Collection[str], meant: str = "") -> str:
    """What a TypeError says: with the argument that is `meant`, or one that is spelt alike."""
    words = f"{function}() got an unexpected keyword argument {name!r}"
    from difflib import get_close_matches  # seldom needed, and slow to import

    close = [meant] if meant in taken else get_close_matches(name, taken, n=1)
    return f"{words}: did you mean {close[0]!r}?" if close else words


def refuse_unknown(
    function: str, unknown: Collection[str], annotations: Collection[str], elsewhere: Mapping[str, str] = {}
) -> None:
    """TypeError where there is an argument that a function without options does not take.

    `elsewhere`: what other clients call its arguments, beside the names that all calls have.
    """
    for name in unknown:
        taken = [known for known in annotations if known not in ("unknown", "return")]
        raise TypeError(no_such_argument(function, name, taken, elsewhere.get(name, _meant(name))))


NO_OPTIONS = CallOptions()


def documented(known: type[RunOptions]) -> Callable[[F], F]:
    """Lists the options in a function's docstring: of `**options`, `help()` shows nothing but the name."""
    fields = [field for field in attrs.fields(CallOptions) if field.name in known.__annotations__]
    lines = [f"    {field.name}: {field.metadata['does']}" for field in fields]

    def decorate(function: F) -> F:
        if function.__doc__:  # `python -OO` keeps none
            function.__doc__ = "\n".join([cleandoc(function.__doc__), "", "Options:", *lines])
        return function

    return decorate
