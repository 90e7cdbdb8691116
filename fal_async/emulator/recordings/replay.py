"""Answers calls from recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any

import attrs

from fal_async.emulator.cassettes.cassette import (
    CallKey,
    Cassette,
    Moment,
    RecordedAnswer,
    RecordedFile,
)
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder, Nearest, Stored
from fal_async.emulator.cassettes.document_fields import CassetteError
from fal_async.emulator.core import Call, CallSource, Core, Miss, Performance
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.recordings.call_recorder import not_recordable
from fal_async.emulator.recordings.own_files import own_files
from fal_async.emulator.recordings.performance import RecordedEndpoints, ScriptedCall
from fal_async.emulator.recordings.recordings import Recordings
from fal_async.emulator.wire.answers import Answer, request_error

MISSING = "recording_missing"
"""The error type of a call without a recording."""
_MISS_STATUS = 400
"""Neither fal's clients nor this package's repeat a call that gets it."""
_NAMED = 4
"""How many differences, and how many recorded endpoints, an error names."""


@attrs.frozen
class RecordedScript:
    """What a cassette says, with its pauses divided by `speed`."""

    cassette: Cassette
    speed: float
    recording: str | None

    @property
    def head(self) -> RecordedAnswer | None:
        return self.cassette.answer

    @property
    def files(self) -> Mapping[str, RecordedFile]:
        return self.cassette.files

    async def moments(self, job: JobContext) -> AsyncGenerator[Moment | RecordedAnswer, None]:
        now = 0.0
        for moment in (*self.cassette.moments, self.cassette.answer):
            if moment is None:
                continue
            if moment.after > now:
                await job.sleep((moment.after - now) / self.speed)
                now = moment.after
            yield moment


class Replay:
    """The calls that a folder of recordings answers.

    Args:
        recordings: the option.
        folder: its folder.
        otherwise: what answers a call without a recording, with `missing="record"`; else None.

    Raises:
        CassetteError: If the folder is missing or has no cassette, unless calls may be recorded.
    """

    def __init__(
        self, recordings: Recordings, folder: CassetteFolder, otherwise: CallSource | None = None
    ) -> None:
        if otherwise is None:
            _check_not_empty(folder)
        self.recordings: Recordings = recordings
        self.folder: CassetteFolder = folder
        self._otherwise = otherwise
        self._endpoints = RecordedEndpoints()
        self.played: Counter[tuple[str, CallKey]] = Counter()
        """How many calls of each account, by its nickname, the recordings of one input have answered."""
        self.misses: list[Miss] = []

    async def find(self, core: Core, call: Call, via: str, input: Any) -> Performance | Answer | None:
        files = await own_files(core, call.origin, input)
        digests = {url: file.digest for url, file in files.items()}
        asked = self.folder.input(input, digests.get)
        key = CallKey.of(via, call.request.method, call.route.rest, asked)
        recorded = self.folder.find(key)
        if not recorded:
            return await self._missing(core, call, key, input, asked)
        place = (
            call.account.nickname,
            key,
        )  # a sequence for each account, so for each test of a shared emulator
        at = self.played[place]
        self.played[place] += 1
        return self._performance(core, recorded[min(at, len(recorded) - 1)], is_repeat=at >= len(recorded))

    def again(self, core: Core, recording: str) -> Performance | None:
        """Return what performs a request of a saved state anew; None if its recording is not in the folder."""
        stored = self.folder.named(recording)
        if stored is None or stored.cassette.answer is None:
            return None
        return self._scripted(core, stored, is_repeat=True)

    def session(self, call: Call) -> Answer | None:
        return None if self.recordings.missing == "emulate" else not_recordable(call)

    async def shelter(self, accepting: Coroutine[Any, Any, Answer]) -> Answer:
        return await (accepting if self._otherwise is None else self._otherwise.shelter(accepting))

    async def halt(self) -> None:
        if self._otherwise is not None:
            await self._otherwise.halt()

    async def close(self) -> None:
        if self._otherwise is not None:
            await self._otherwise.close()

    def _performance(self, core: Core, stored: Stored, *, is_repeat: bool) -> Performance | Answer:
        submitted = stored.cassette.submit
        if submitted is not None and stored.cassette.answer is None:
            return Answer(submitted.status, submitted.headers, submitted.body.data(self.folder.read_file))
        return self._scripted(core, stored, is_repeat=is_repeat)

    def _scripted(self, core: Core, stored: Stored, *, is_repeat: bool) -> Performance:
        cassette = stored.cassette
        return ScriptedCall(
            core=core,
            folder=self.folder,
            served=self._endpoints[cassette.endpoint_id],
            script=RecordedScript(cassette, self.recordings.speed, stored.name),
            request_id=None if is_repeat else cassette.request_id,
            position=_position(cassette),
        )

    async def _missing(
        self, core: Core, call: Call, key: CallKey, input: Any, asked: Any
    ) -> Performance | Answer | None:
        if self._otherwise is not None:
            return await self._otherwise.find(core, call, key.via, input)
        if self.recordings.missing == "emulate":
            return None
        endpoint_id = call.route.endpoint_id or key.path
        nearest = self.folder.nearest(key, endpoint_id, asked)
        detail = f"not recorded: {endpoint_id}: {self._explained(nearest)}"
        self.misses.append(Miss(call.account, f"a call was {detail}"))
        return request_error(_MISS_STATUS, detail, MISSING)

    def _explained(self, nearest: Nearest | None) -> str:
        if nearest is None:
            recorded = sorted({stored.cassette.endpoint_id for stored in self.folder})
            return f"the recorded endpoints are {_listed(recorded, ', ')}"
        return f"{_listed(nearest.differences, '; ')} (nearest recording: {nearest.stored.name})"


def _listed(lines: tuple[str, ...] | list[str], separator: str) -> str:
    more = len(lines) - _NAMED
    return separator.join([*lines[:_NAMED], *([f"and {more} more"] if more > 0 else [])])


def _position(cassette: Cassette) -> int | None:
    """Return the position with which a submit was answered; None if the request never waited."""
    if cassette.submit is not None and isinstance(cassette.submit.body.value, Mapping):
        position = cassette.submit.body.value.get("queue_position")
        return position if isinstance(position, int) else None
    return next((moment.queue_position for moment in cassette.moments[:1]), None)


def _check_not_empty(folder: CassetteFolder) -> None:
    if not folder.path.exists():
        raise CassetteError(f"{folder.path}: there is no such folder of recordings: record it first")
    if not len(folder):
        raise CassetteError(
            f"{folder.path}: the folder has no recordings: expected <endpoint>/<name>.json in it, as recording "
            "writes them"
        )
