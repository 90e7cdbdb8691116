"""A model that is declared: what it logs, how long it takes, and what it answers for an input."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from fal_async.emulator.declared.conditions import Condition, read_conditions
from fal_async.emulator.declared.placed_values import DocumentError, Placed
from fal_async.emulator.declared.templates import Source, Template, fill, read_template
from fal_async.emulator.jobs.endpoints import EndpointFunction
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.schemas.sample_model import SampleModel
from fal_async.emulator.wire.answers import ModelError

NOTHING = object()
"""In place of a template: the document has none."""
_ANSWERS = ("answer", "events", "interval", "seconds", "logs", "status", "detail", "error_type")
CASE_KEYS = ("when", *_ANSWERS)
MODEL_KEYS = (*_ANSWERS, "cases")


@attrs.frozen(kw_only=True)
class Case:
    """What the model does for the inputs that pass `when`."""

    when: tuple[Condition, ...] = ()
    answer: Template = attrs.field(default=NOTHING)
    events: tuple[Template, ...] = ()
    interval: float = 0.0
    seconds: float = 0.0
    logs: tuple[Template, ...] = ()
    status: int | None = None
    detail: Template = "Failed"
    error_type: str | None = None

    async def values(self, source: Source) -> AsyncIterator[Any]:
        """Work, then yield the events and the answer; ModelError if the case is a failure."""
        await self._work(source)
        if self.status is not None:
            raise ModelError(self.status, await fill(self.detail, source), self.error_type)
        for at, event in enumerate(self.events):
            if at:
                await source.job.sleep(self.interval)
            yield await fill(event, source)
        if self.answer is not NOTHING or not self.events:
            yield {} if self.answer is NOTHING else await fill(self.answer, source)

    async def _work(self, source: Source) -> None:
        """Take the seconds, and write the log lines at even distances."""
        for line in self.logs:
            text = await fill(line, source)
            source.job.log(text if isinstance(text, str) else str(text))
            await source.job.sleep(self.seconds / len(self.logs))
        if not self.logs:
            await source.job.sleep(self.seconds)


@attrs.frozen
class DeclaredModel:
    """The cases in order; the last one is for all inputs."""

    cases: tuple[Case, ...]

    @property
    def streams(self) -> bool:
        """Whether a case has events."""
        return any(case.events for case in self.cases)

    def function(self) -> EndpointFunction:
        """Return the endpoint function: an async generator function if the model streams."""
        return self._stream if self.streams else self._answer

    async def _answer(self, input: Any, job: JobContext) -> Any:
        values = [value async for value in self._stream(input, job)]
        return values[-1]

    async def _stream(self, input: Any, job: JobContext) -> AsyncIterator[Any]:
        case = next(each for each in self.cases if all(condition.holds(input) for condition in each.when))
        async for value in case.values(Source(input, job)):
            yield value


def read_model(
    members: Mapping[str, Placed], folder: Path | None, sample: SampleModel | None
) -> DeclaredModel:
    """Return the model of an endpoint's table.

    Args:
        members: the members of the table.
        folder: where its files are. None: it may not name files.
        sample: makes the answer, if the table has none. None: the answer is an empty object.

    Raises:
        DocumentError: If a value is wrong.
    """
    usual = _case({name: value for name, value in members.items() if name in _ANSWERS}, folder)
    if sample is not None and usual.answer is NOTHING and not usual.events:
        usual = attrs.evolve(usual, answer=sample)
    cases = [
        _case(each.table(CASE_KEYS), folder, usual)
        for each in (members["cases"].items() if "cases" in members else ())
    ]
    return DeclaredModel((*cases, usual))


def _case(members: Mapping[str, Placed], folder: Path | None, usual: Case | None = None) -> Case:
    given: dict[str, Any] = {name: _READERS[name](value, folder) for name, value in members.items()}
    for name in ("detail", "error_type"):
        if name in given and "status" not in given:
            raise DocumentError(f"{members[name].place}: it is for failures, which have a status")
    for name in ("answer", "events"):
        if name in given and "status" in given:
            raise DocumentError(f"{members[name].place}: a failure, which has a status, has no {name}")
    if usual is None:
        return Case(**given)
    if "status" not in given and not {"answer", "events"} & given.keys():
        given = {"answer": usual.answer, "events": usual.events, "interval": usual.interval, **given}
    return Case(**{"seconds": usual.seconds, "logs": usual.logs, **given})


_READERS: Mapping[str, Any] = {
    "when": lambda given, _: read_conditions(given),
    "answer": read_template,
    "events": lambda given, folder: tuple(read_template(each, folder) for each in given.items()),
    "logs": lambda given, folder: tuple(_line(each, folder) for each in given.items()),
    "interval": lambda given, _: given.number(),
    "seconds": lambda given, _: given.number(),
    "status": lambda given, _: given.whole(least=400, most=599),
    "detail": lambda given, folder: _detail(given, folder),
    "error_type": lambda given, _: given.text(),
}


def _line(given: Placed, folder: Path | None) -> Template:
    given.text()
    return read_template(given, folder)


def _detail(given: Placed, folder: Path | None) -> Template:
    """Return the template of a `str`, or of a list of entries `{loc, msg, type}`."""
    if not isinstance(given.value, str):
        for entry in given.items():
            entry.table()
    return read_template(given, folder)
