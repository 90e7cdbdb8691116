"""Compares all cassettes of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import attrs

from fal_async.emulator.cassettes.cassette_folder import CassetteFolder, Stored
from fal_async.emulator.cassettes.document_fields import CassetteError
from fal_async.emulator.drift.comparison import Comparison
from fal_async.emulator.drift.emulated_calls import EmulatedCalls, calls_of_new_emulator
from fal_async.emulator.drift.placeholder_endpoint import add_placeholder
from fal_async.emulator.drift.shapes import Difference
from fal_async.emulator.drift.status_samples import StatusSamples, status_samples
from fal_async.emulator.schemas.input_check import require
from fal_async.emulator.server import Emulator

_INDEX = re.compile(r"\[\d+\]")


@attrs.frozen(kw_only=True)
class DriftReport:
    """The outcome.

    Attributes:
        calls: how many recorded calls were compared.
        unknown: the endpoints that the emulator does not have; of these, only the protocol was compared.
        differences: the differences, by the name of the cassette's file. One that several items of a list, or
            several moments, have is in it once for each file.
    """

    calls: int
    unknown: tuple[str, ...]
    differences: tuple[tuple[str, Difference], ...]


async def drift(folder: CassetteFolder, prepare: Callable[[Emulator], None]) -> DriftReport:
    """Compare the shapes of recorded calls with what this emulator answers to them. Nothing is sent elsewhere.

    Args:
        folder: the recordings.
        prepare: adds the user's own endpoints to the emulator.

    Raises:
        CassetteError: If a recorded call can't be made again.
        ModuleNotFoundError: If jsonschema is missing, without which the emulator would not refuse wrong inputs.
    """
    require("jsonschema", "a comparison with recordings")
    async with (
        calls_of_new_emulator(prepare, builtins=True) as own,
        calls_of_new_emulator(lambda _: None, builtins=False) as placeholders,
    ):
        samples = await status_samples(placeholders)
        unknown: dict[str, None] = {}
        found: list[tuple[str, Difference]] = []
        for stored in folder:
            comparison = await _comparison(stored, own, placeholders, samples)
            if comparison.is_partial:
                unknown[stored.cassette.endpoint_id] = None
            found += [(stored.name, each) for each in _once(comparison.differences())]
    return DriftReport(calls=len(folder), unknown=tuple(unknown), differences=tuple(found))


async def _comparison(
    stored: Stored, own: EmulatedCalls, placeholders: EmulatedCalls, samples: StatusSamples
) -> Comparison:
    try:
        emulated = await own.answer_to(stored.cassette)
        add_placeholder(placeholders.emulator, stored.cassette)
        placeholder = await placeholders.answer_to(stored.cassette)
    except TimeoutError as error:
        raise CassetteError(f"{stored.name}: the emulator did not answer the call in time") from error
    except ValueError as error:
        raise CassetteError(f"{stored.name}: {error}") from error
    return Comparison(
        cassette=stored.cassette,
        own=emulated,
        placeholder=placeholder,
        samples=samples,
    )


def _once(differences: Iterable[Difference]) -> Iterator[Difference]:
    """Yield each difference once, whichever items of lists have it."""
    seen = set()
    for difference in differences:
        key = attrs.evolve(difference, path=_INDEX.sub("[]", difference.path))
        if key not in seen:
            seen.add(key)
            yield difference
