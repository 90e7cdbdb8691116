"""`FalMapper` without Ray: batches of one actor, called as Ray Data calls it."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fal_async import Ledger, Session
from fal_async.emulator import Emulator, JobContext, ModelError
from fal_async.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    SessionStateError,
    ValidationError,
)
from fal_async.integrations.ray import FalMapper
from fal_async.integrations.ray.session_thread import SessionThread
from tests.documents.code_blocks import environment
from tests.quick import gate_at, quick

pytest.importorskip("pyarrow")
NUMBERS = "me/numbers"
Make = Callable[..., FalMapper]


@pytest.fixture
def numbers(emulator: Emulator) -> Emulator:
    """An emulator with a model that returns its input and a file, and refuses negative numbers."""

    @emulator.endpoint(NUMBERS, runners=100)
    async def number(input: Any, job: JobContext) -> Any:
        if input["n"] < 0:
            raise ModelError(422, "a negative number")
        return {"input": input, "images": [await job.file(b"%d" % input["n"], "image/png", "n.png")]}

    return emulator


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    return str(tmp_path / "runs.db")


@pytest.fixture
async def make(emulator: Emulator, ledger: str) -> AsyncIterator[Make]:
    """Make mappers on the emulator, which are closed after the test."""
    made: list[FalMapper] = []

    def mapper(**arguments: Any) -> FalMapper:
        given = {
            "endpoint_id": NUMBERS,
            "ledger": ledger,
            "key": "id",
            "credentials": emulator.key,
            "hosts": emulator.hosts,
            "retry": quick(),
            **arguments,
        }
        made.append(FalMapper(**given))
        return made[-1]

    yield mapper
    for each in made:
        await asyncio.to_thread(each.close)


def batch(*numbers: int, **columns: list[Any]) -> dict[str, list[Any]]:
    return {"id": [f"row{n}" for n in numbers], "n": [*numbers], **columns}


async def mapped(mapper: FalMapper, rows: Any) -> dict[str, list[Any]]:
    """The columns of the one batch that a mapper yields."""
    (found,) = [each async for each in mapper(rows)]
    return {
        name: values if isinstance(values, list) else values.to_pylist() for name, values in found.items()
    }


async def test_each_row_is_a_request_with_the_columns_that_are_not_null(
    numbers: Emulator, make: Make
) -> None:
    rows = batch(1, 2, prompt=["a cat", None])
    found = await mapped(make(), rows)
    assert (found["id"], found["n"], found["error"]) == (["row1", "row2"], [1, 2], [None, None])
    assert [json.loads(text)["input"] for text in found["output"]] == [{"n": 1, "prompt": "a cat"}, {"n": 2}]
    assert found["request_id"] == list(numbers.jobs)


async def test_functions_of_the_row_make_the_key_and_the_input(
    numbers: Emulator, make: Make, ledger: str
) -> None:
    mapper = make(key=lambda row: row["n"] + 40, input=lambda row: {"n": row["n"], "seed": row["id"]})
    found = await mapped(mapper, batch(2))
    assert json.loads(found["output"][0])["input"] == {"n": 2, "seed": "row2"}
    async with await Ledger.open(ledger) as kept:
        assert [(entry.key, entry.run) async for entry in kept.entries()] == [("42", NUMBERS)]


async def test_the_ledger_has_the_cost_of_each_row(numbers: Emulator, make: Make, ledger: str) -> None:
    numbers.price(NUMBERS, "0.1")
    await mapped(make(), batch(1, 2))
    async with await Ledger.open(ledger) as kept:
        assert (await kept.summary()).cost == Decimal("0.2")
    assert numbers.count("platform") == 1


async def test_rows_that_are_mapped_again_by_another_actor_are_not_submitted_again(
    numbers: Emulator, make: Make
) -> None:
    first = await mapped(make(), batch(1, 2))
    again = await mapped(make(), batch(2, 1))
    assert again["request_id"] == first["request_id"][::-1]
    assert numbers.count("submit") == 2


@pytest.mark.parametrize("kind", ["file", "database"])
async def test_two_actors_that_map_the_same_rows_at_a_time_wait_for_the_same_requests(
    kind: str, database: str, emulator: Emulator, make: Make, ledger: str
) -> None:
    gate = gate_at(emulator, NUMBERS)
    where = {"ledger": database} if kind == "database" else {}
    calls = [asyncio.create_task(mapped(make(**where), batch(1, 2))) for _ in range(2)]
    while emulator.count("status") < 8:  # by both actors
        await asyncio.sleep(0.01)
    gate.open()
    one, other = await asyncio.gather(*calls)
    assert one == other
    assert one["error"] == [None, None]
    assert emulator.count("submit") == 2


async def test_a_batch_of_fal_map_with_the_same_keys_and_inputs_is_the_same_run(
    numbers: Emulator, make: Make, ledger: str
) -> None:
    await mapped(make(), batch(1))
    async with (
        Session(numbers.key, hosts=numbers.hosts, ledger=ledger) as fal,
        fal.map(NUMBERS, [{"n": 1}], key=lambda input: f"row{input['n']}") as items,
    ):
        (item,) = await items.collect()
    assert item.from_ledger
    assert numbers.count("submit") == 1


async def test_rows_with_one_key_share_a_request_unless_their_inputs_differ(
    numbers: Emulator, make: Make
) -> None:
    rows = {"id": ["a", "a", "a"], "n": [1, 1, 2]}
    found = await mapped(make(on_error="column", concurrency=1), rows)
    assert found["request_id"][0] == found["request_id"][1] is not None
    assert [error and error.partition(":")[0] for error in found["error"]] == [None, None, "KeyConflictError"]
    assert numbers.count("submit") == 1


async def test_a_failed_row_is_raised_with_its_key_and_later_rows_are_not_submitted(
    numbers: Emulator, make: Make
) -> None:
    mapper = make(concurrency=1)
    with pytest.raises(ValidationError, match=r"^422 key 'row-1': a negative number"):
        await mapped(mapper, batch(1, -1, 2))
    assert [job.input["n"] for job in numbers.jobs.values()] == [1, -1]
    found = await mapped(mapper, batch(1, 2))
    assert found["error"] == [None, None]


async def test_a_failed_row_has_its_error_in_the_column_and_the_others_their_output(
    numbers: Emulator, make: Make
) -> None:
    found = await mapped(make(on_error="column"), batch(1, -1, 2))
    assert [error and error[:21] for error in found["error"]] == [None, "ValidationError: 422 ", None]
    assert [output is None for output in found["output"]] == [False, True, False]
    assert found["request_id"] == [job.request_id for job in numbers.jobs.values()]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"id": [1.5], "n": [1]}, "ConfigurationError: key is of type float: expected str"),
        ({"id": [None], "n": [1]}, "ConfigurationError: key is of type NoneType: expected str"),
        (
            {"id": ["a"], "n": [1], "image": [b"png"]},
            "ConfigurationError: input.image is bytes: upload them with File(data",
        ),
    ],
)
async def test_a_row_without_a_key_or_with_bytes_is_an_error_of_that_row(
    row: Any, says: str, numbers: Emulator, make: Make
) -> None:
    found = await mapped(make(on_error="column"), row)
    assert found["error"][0].startswith(says)
    with pytest.raises(ConfigurationError, match=r"^(a row|key 'a'): (key is of type|input\.image is)"):
        await mapped(make(), row)
    assert numbers.count("submit") == 0


async def test_a_missing_key_column_is_refused_with_the_columns_that_exist(
    numbers: Emulator, make: Make
) -> None:
    with pytest.raises(ConfigurationError, match="key=: no column 'name': expected one of id, n"):
        await mapped(make(key="name", on_error="column"), batch(1))
    assert numbers.count("submit") == 0


async def test_a_column_that_exists_already_is_refused_before_a_request(
    numbers: Emulator, make: Make
) -> None:
    with pytest.raises(ConfigurationError, match="column 'output' would exist twice"):
        await mapped(make(on_error="column"), batch(1, output=["mine"]))
    assert numbers.count("submit") == 0


async def test_an_error_that_all_rows_would_get_is_raised_even_for_the_column(
    numbers: Emulator, make: Make
) -> None:
    with pytest.raises(AuthenticationError):
        await mapped(make(on_error="column", credentials="other:key", concurrency=1), batch(1, 2, 3))
    with pytest.raises(NotFoundError):
        await mapped(make(on_error="column", endpoint_id="me/no-such", concurrency=1), batch(1, 2, 3))
    assert numbers.count("submit") == 2


async def test_an_exception_of_the_callers_function_is_raised_as_it_is(numbers: Emulator, make: Make) -> None:
    with pytest.raises(KeyError, match="prompt"):
        await mapped(make(on_error="column", input=lambda row: row["prompt"]), batch(1))
    assert numbers.count("submit") == 0


async def test_a_temporary_failure_is_submitted_again_as_often_as_retries_allows(
    emulator: Emulator, make: Make
) -> None:
    @emulator.endpoint("me/moody")
    async def moody(input: Any) -> Any:
        if emulator.count("submit") < 3:
            raise ModelError(500, "not in the mood")
        return input

    arguments = {"endpoint_id": "me/moody", "on_error": "column", "retries": 1}
    first = await mapped(make(**arguments), batch(1))
    again = await mapped(make(**arguments), batch(1))
    assert first == again
    assert first["error"][0].startswith("ServerError: 500 not in the mood")
    assert emulator.count("submit") == 2
    assert (await mapped(make(**arguments, retry_failed=True), batch(1)))["error"] == [None]
    assert emulator.count("submit") == 3


async def test_all_batches_of_an_actor_together_have_the_limit_of_concurrency(
    emulator: Emulator, make: Make
) -> None:
    gate = gate_at(emulator, NUMBERS)
    mapper = make(concurrency=2)
    calls = [asyncio.create_task(mapped(mapper, batch(n, n + 1, n + 2))) for n in (1, 4)]
    while len(gate.started) < 2:
        await asyncio.sleep(0.01)
    assert emulator.count("submit") == 2
    gate.open()
    assert [(await call)["error"] for call in calls] == [[None] * 3] * 2
    assert emulator.count("submit") == 6


async def test_files_are_downloaded_or_read_and_a_file_that_is_gone_is_an_error_of_the_row(
    numbers: Emulator, make: Make, tmp_path: Path
) -> None:
    by_path = await mapped(make(download=tmp_path / "out", names="{key}{ext}"), batch(1))
    assert by_path["files"] == [[str(tmp_path / "out" / "row1.png")]]
    assert (await mapped(make(read_files=True), batch(1)))["files"] == [[b"1"]]
    numbers.expire_files()
    gone = await mapped(make(read_files=True, on_error="column"), batch(1))
    assert (gone["files"], gone["error"][0][:14]) == ([None], "DownloadError:")
    kept = await mapped(make(download=tmp_path / "out", names="{key}{ext}", read_files=True), batch(1))
    assert kept["files"] == [[b"1"]]


async def test_a_cancelled_call_cancels_only_the_requests_that_wait_in_the_queue(
    emulator: Emulator, make: Make
) -> None:
    gate = gate_at(emulator, NUMBERS)  # with two runners
    mapper = make()
    call = asyncio.create_task(mapped(mapper, batch(1, 2, 3)))
    while emulator.count("status") < 6:  # each was seen twice
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    while emulator.count("cancel") < 1:
        await asyncio.sleep(0.01)
    gate.open()
    assert (await mapped(make(), batch(1, 2, 3)))["error"] == [None] * 3
    assert (emulator.count("submit"), emulator.count("cancel")) == (4, 1)
    assert [input["n"] for input in gate.started].count(3) == 1


# The session of a mapper, and its thread.


def session_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "fal_async session"]


async def itself(emulator: Emulator) -> Emulator:
    return emulator


async def test_requests_continue_while_the_event_loop_of_the_caller_is_blocked(tmp_path: Path) -> None:
    """Ray blocks the event loop of its async callables while the next operator is slower."""
    other = SessionThread(lambda: Emulator(speed=50))
    emulator, folder = await other.call(itself), tmp_path / "out"
    opened = asyncio.Event()

    @emulator.endpoint(NUMBERS)
    async def paint(_: Any, job: JobContext) -> Any:
        running.set()
        while not opened.is_set():
            await asyncio.sleep(0.01)
        return {"images": [await job.file(b"1", "image/png", "1.png")]}

    running = threading.Event()
    mapper = FalMapper(
        NUMBERS,
        ledger=tmp_path / "runs.db",
        key="id",
        download=folder,
        credentials=emulator.key,
        hosts=emulator.hosts,
    )
    call = asyncio.create_task(mapped(mapper, batch(1)))
    while not running.is_set():
        await asyncio.sleep(0.01)
    opened.set()
    while not (folder / "row1-0.png").exists():
        time.sleep(0.01)  # noqa: ASYNC251 (the event loop must not run)
    assert not call.done()
    assert (await call)["error"] == [None]
    mapper.close()
    other.close()
    assert session_threads() == []


async def test_a_mapper_that_is_deleted_closes_its_session(numbers: Emulator, ledger: str) -> None:
    mapper = FalMapper(NUMBERS, ledger=ledger, key="id", credentials=numbers.key, hosts=numbers.hosts)
    await mapped(mapper, batch(1))
    assert session_threads() == ["fal_async session"]
    del mapper
    gc.collect()
    assert session_threads() == []


async def test_a_closed_mapper_raises_and_may_be_closed_again(numbers: Emulator, make: Make) -> None:
    mapper = make()
    mapper.close()
    await mapped(mapper, batch(1))
    mapper.close()
    mapper.close()
    with pytest.raises(SessionStateError, match="create another one"):
        await mapped(mapper, batch(2))
    assert numbers.count("submit") == 1


async def test_a_ledger_that_can_not_be_opened_is_raised_by_each_call(
    numbers: Emulator, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("not a ledger" * 100)
    mapper = make(ledger=str(tmp_path / "notes.txt"), on_error="column")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="the file is not an SQLite file"):
            await mapped(mapper, batch(1))
    assert numbers.count("submit") == 0


async def test_a_folder_that_can_not_be_written_is_raised_by_each_call(
    numbers: Emulator, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    mapper = make(download=tmp_path / "out", on_error="column")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="expected a folder to which files can be written"):
            await mapped(mapper, batch(1))
    assert numbers.count("submit") == 0


LEFT_OPEN = """
import asyncio, sys
from fal_async.integrations.ray import FalMapper


async def main() -> FalMapper:
    mapper = FalMapper("fal-ai/flux/schnell", ledger=sys.argv[1], key="id")
    async for batch in mapper({"id": ["a"], "prompt": ["a cat"]}):
        print(batch["error"].to_pylist())
    return mapper


mapper = asyncio.run(main())
"""


async def test_a_program_that_leaves_a_mapper_open_ends_without_a_warning(
    emulator: Emulator, ledger: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", LEFT_OPEN, ledger),
        env=environment(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert await process.communicate() == (b"[None]\n", b"")
    assert process.returncode == 0


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"ledger": "runs.db"}, "ledger='runs.db': expected an absolute path"),
        ({"ledger": None}, "ledger is of type NoneType: expected an absolute path or a URL"),
        ({"key": None}, "key is of type NoneType: expected the name of a column"),
        ({"key": ""}, "key is of type str: expected the name of a column"),
        ({"input": "prompt"}, "input is of type str: expected a function"),
        ({"input": lambda one, other: [one, other]}, r"input is called with \(row\), which .* does not take"),
        ({"output": ""}, "output is of type str: expected the name of a column"),
        ({"output": "error"}, "column 'error' would exist twice"),
        ({"download": "out"}, "download='out': expected an absolute path"),
        ({"names": "{key}"}, "names= names the files that download= writes"),
        ({"read_files": 1}, "read_files=1: expected True or False"),
        ({"on_error": "skip"}, "on_error='skip': expected 'raise' or 'column'"),
        ({"concurrency": 0}, "concurrency=0: expected an int >= 1"),
        ({"retries": -1}, "retries=-1: expected an int >= 0"),
        ({"timeout": 0}, "timeout=0: expected a positive number of seconds, or None"),
        ({"timeouts": -1}, "timeout"),
        ({"uncertain": "maybe"}, "uncertain='maybe': expected one of 'report', 'lookup', 'resubmit'"),
        ({"run": 1}, "run is of type int: expected str"),
        ({"endpoint_id": "flux dev"}, "flux dev"),
        ({"credentials": "no-key"}, "key"),
        ({"priority": "high"}, "priority='high': expected 'normal', 'low', or None"),
    ],
)
async def test_a_wrong_argument_is_refused_with_what_is_expected(
    arguments: Any, says: str, make: Make
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make(**arguments)


async def test_an_unknown_argument_is_refused_with_the_one_that_was_meant(make: Make) -> None:
    with pytest.raises(
        TypeError, match=r"FalMapper\(\) got an unexpected .* 'on_errors': did you mean 'on_error'"
    ):
        make(on_errors="column")


async def test_a_mapper_can_not_be_pickled_and_its_repr_has_no_key(make: Make) -> None:
    mapper = make(credentials="someone:1d2f3a4b5c6d7e8f")
    with pytest.raises(TypeError, match="pass the class"):
        pickle.dumps(mapper)
    assert "1d2f3a4b5c6d7e8f" not in repr(mapper) + repr(vars(mapper))
