"""The option `recordings` of `Emulator`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

Mode = Literal["record", "replay"]
Missing = Literal["strict", "emulate", "record"]


def _one_of(kind: Any) -> Any:
    def check(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value not in get_args(kind):
            expected = ", ".join(map(repr, get_args(kind)))
            raise ValueError(f"{field.name}={value!r}: expected one of {expected}")

    return check


def _as_path(path: str | os.PathLike[str]) -> Path:
    return Path(path)


def _check_speed(_: Any, __: attrs.Attribute[float], value: float) -> None:
    if not value > 0:
        raise ValueError(f"speed={value}: expected a number > 0, or math.inf for no waiting at all")


@attrs.frozen
class Recordings:
    """A folder of recordings, from which an emulator answers, or into which it records real fal.

    Attributes:
        folder: the folder of the cassettes; a `str` becomes a `Path`.
        mode: "replay" (default): calls are answered from the folder. "record": each call is sent to fal, and
            its recording is added.
        missing: what happens in the mode "replay" to a call without a recording. "strict" (default): it fails with
            an error that names the nearest recording and the differences. "emulate": the emulator's own endpoints
            answer it. "record": it is sent to fal, and recorded.
        speed: the factor by which recorded times pass faster, in addition to the emulator's own `speed`; default 1.
            math.inf: at once.
        upstream: base URL of a server that stands in for all of fal's hosts while recording: calls of
            https://queue.fal.run/... go to `{upstream}/queue.fal.run/...`. None (default): fal itself.
        upstream_key: the API key for recording. None (default): the environment variable FAL_KEY. It is never
            stored or logged.

    Raises:
        ValueError: If `mode`, `missing` or `speed` has an impossible value.
    """

    folder: Path = attrs.field(converter=_as_path)
    mode: Mode = attrs.field(default="replay", validator=_one_of(Mode), kw_only=True)
    missing: Missing = attrs.field(default="strict", validator=_one_of(Missing), kw_only=True)
    speed: float = attrs.field(default=1.0, validator=_check_speed, kw_only=True)
    upstream: str | None = attrs.field(default=None, kw_only=True)
    upstream_key: str | None = attrs.field(default=None, repr=False, kw_only=True)

    @property
    def may_record(self) -> bool:
        """Whether calls may be sent to fal."""
        return self.mode == "record" or self.missing == "record"
