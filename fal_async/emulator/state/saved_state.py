"""Saves the state of an emulator, and starts an emulator from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from fal_async.emulator.core import CallSource, Core
from fal_async.emulator.declared.added import add_declared
from fal_async.emulator.recordings.call_source import source_of
from fal_async.emulator.recordings.recordings import Recordings
from fal_async.emulator.registration import Registration
from fal_async.emulator.state.begun_anew import begin_anew
from fal_async.emulator.state.saved_files import bring_files, copies
from fal_async.emulator.state.saved_jobs import (
    SavedJob,
    job_of_line,
    line_of,
    put_jobs,
    readdress,
    take_jobs,
)
from fal_async.emulator.state.saved_recordings import COPY, bring_recordings, leave_copy, put_positions
from fal_async.emulator.state.saved_settings import put_prices, stand_ins
from fal_async.emulator.state.saved_values import values
from fal_async.emulator.state.saved_webhooks import resume_deliveries
from fal_async.emulator.state.state_folder import (
    Head,
    check_target,
    damaged,
    read_head,
    read_json,
    replace,
    write_private,
)
from fal_async.emulator.state.state_kinds import KINDS
from fal_async.version import __version__

_JOBS = "jobs.jsonl"


async def save_state(core: Core, url: str, folder: Path) -> None:
    """Save to a folder, in place of an earlier state; `url` is that of the emulator.

    Virtual time stands still meanwhile. What is in memory is saved as it is at one moment.

    Raises:
        OSError: If a file can't be written; the folder is then as before.
        ValueError: If the folder has something else than a saved state.
    """
    check_target(folder)
    with core.clock.activity("saving the state"):
        records = {name: kind.take(core) for name, kind in KINDS.items()}
        jobs, contents, source = take_jobs(core), copies(core), core.recordings
        cassettes = () if source is None else tuple(source.folder)

        def fill(made: Path) -> None:
            for copy in contents:
                copy.write(made)
            if source is not None:
                source.folder.copy(cassettes, made / COPY)
            for name, record in records.items():
                text = json.dumps(values.unstructure(record, KINDS[name].type), indent=2)
                write_private(made / f"{name}.json", f"{text}\n")
            write_private(made / _JOBS, "".join(f"{line_of(job)}\n" for job in jobs))

        def head(saved: str) -> Head:
            return Head(saved=saved, version=__version__, url=url)

        await core.files.work(lambda: replace(folder, head, fill))


def load_state(folder: Path) -> LoadedState:
    """Read a saved state, except for the content of its files.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is not a saved state, is damaged, or has a newer format; the message names the file.
    """
    head = read_head(folder)
    save = folder / head.saved
    records = {}
    for name, kind in KINDS.items():
        document = read_json(path := save / f"{name}.json")
        with _naming(path):
            records[name] = values.structure(document, kind.type)
    return LoadedState(save, head.url, records, _read_jobs(save / _JOBS))


def _read_jobs(path: Path) -> list[SavedJob]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    with _naming(path):
        return [job_of_line(line) for line in lines]


def source_with(recordings: Recordings | None, key: str, loaded: LoadedState | None) -> CallSource | None:
    """Return what answers calls in place of endpoints: the option, else the recordings of a saved state.

    Args:
        recordings: the option.
        key: the emulator's own API key.
        loaded: the saved state; None without one.
    """
    if loaded is None:
        return source_of(recordings, [key])
    keys = [key, *(account.key for account in loaded.records["accounts"])]
    return source_of(recordings or loaded.recordings, keys)


@attrs.frozen
class LoadedState:
    """A state that was read, with the steps in which an emulator takes it over."""

    folder: Path
    url: str
    records: Mapping[str, Any] = attrs.field(repr=False)
    jobs: list[SavedJob] = attrs.field(repr=False)

    @property
    def recordings(self) -> Recordings | None:
        """The option that plays the saved recordings; None if there are none."""
        saved = self.records["recordings"]
        with _naming(self.folder / "recordings.json"):
            return None if saved is None else saved.option(self.folder / COPY)

    def restore(self, core: Core, registration: Registration) -> None:
        """Put everything but the files into an emulator that is not started.

        Raises:
            RuntimeError: If there are keys of webhooks, and the package `cryptography` is missing.
            ValueError: If the records don't fit together.
        """
        for name, kind in KINDS.items():
            if kind.put is not None:
                with _naming(self.folder / f"{name}.json"):
                    kind.put(core, self.records[name])
        endpoints = self.records["endpoints"]
        with _naming(self.folder / "endpoints.json"):
            add_declared(core, registration, {"endpoints": dict(endpoints.declared)}, "declared")
        put_prices(core, self.records["prices"])
        put_positions(core, self.records["recordings"], self.folder / COPY)
        with _naming(self.folder / _JOBS):
            put_jobs(core, self.jobs, stand_ins(endpoints))

    async def bring_files(self, core: Core) -> None:
        """Copy the files, before the emulator listens. Raise ValueError if one is missing or can't be copied."""
        try:
            await bring_files(core, self.folder, self.records["files"])
            await bring_recordings(core, self.folder / COPY)
        except OSError as error:  # which must not pass for one of the port
            raise ValueError(f"the files of the saved state can't be copied: {error}") from error

    def resume(self, core: Core, url: str) -> None:
        """Begin the work that had not ended, in an emulator that listens at a URL."""
        if url != self.url:
            for job in core.jobs:
                readdress(job, self.url, url)
        leave_copy(core, self.folder / COPY)
        places = {one.request_id: one.place or 0 for one in self.jobs}
        begin_anew(core, places, at_fal={one.request_id for one in self.jobs if one.at_fal})
        resume_deliveries(core, self.records["webhooks"])


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise the errors of what a file has as ValueError that names the file."""
    try:
        yield
    except (RuntimeError, ImportError):
        raise  # a package is missing
    except KeyError as error:
        raise damaged(path, f"{error} is missing, or unknown") from error
    except Exception as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
