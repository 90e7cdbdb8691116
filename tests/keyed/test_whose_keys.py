"""Which calls share a key: those with equal ledger, origin, tenant and run, in any view, event loop or process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fal_async
from fal_async import ConfigurationError, File, KeyConflictError, Session, SessionStateError, UploadError
from fal_async.emulator import Emulator, Fault
from fal_async.keyed.ledger_requests import LedgerRequest
from fal_async.ledger.ledger import Ledger
from fal_async.ledger.opening import Where, open_store
from fal_async.ledger.store import Store
from fal_async.protocol.http import Operation
from fal_async.protocol.ledger.entry import LedgerRequest as StoredRequest
from fal_async.protocol.ledger.entry import Payload, Place, Record, Space
from tests.keyed.entries import entry_of, entry_of_dead
from tests.quick import ASK, GATE, LLM, gate_at, session_on
from tests.transport.test_own_transport import Canned


async def test_a_view_with_other_credentials_refuses_keys_without_a_tenant(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    view = fal.with_options(credentials=emulator.key)
    same = fal.with_options(
        credentials=emulator.key, ledger=runs
    )  # would return results of the session's account
    for call in (view.subscribe, view.queue.submit, same.subscribe, view.with_options(ledger=runs).subscribe):
        with pytest.raises(ConfigurationError, match="tenant="):
            await call(LLM, ASK, key="a")
    assert emulator.count() == 0
    # Calls without a key work, as do their handles.
    assert (await (await view.queue.submit(LLM, ASK)).wait()).data


async def test_the_same_key_of_another_tenant_is_another_request(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    acme = fal.with_options(credentials=emulator.key, tenant="acme")
    mine, theirs = await fal.subscribe(LLM, ASK, key="a"), await acme.subscribe(LLM, ASK, key="a")
    assert mine.request_id != theirs.request_id
    assert (await acme.with_options(tags={"x": "y"}).subscribe(LLM, ASK, key="a")).from_ledger
    assert await entry_of(fal, runs, tenant="acme") is not None
    # A handle of one tenant does not read the entries of another one.
    assert not (await acme.queue.result(LLM, mine.request_id)).from_ledger
    assert (await fal.queue.result(LLM, mine.request_id)).from_ledger


async def test_views_of_a_session_share_a_request_unless_they_have_another_ledger(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    view = fal.with_options(tags={"a": "b"})
    results = await asyncio.gather(*(one.subscribe(LLM, ASK, key="a") for one in (fal, view)))
    assert len({result.request_id for result in results}) == 1
    other = fal.with_options(credentials=emulator.key, ledger=tmp_path / "other.db")
    assert not (await other.subscribe(LLM, ASK, key="a")).from_ledger
    assert emulator.count("submit") == 2


async def test_the_same_key_at_another_origin_is_another_request(fal: Session, runs: Where) -> None:
    await fal.subscribe(LLM, ASK, key="a")
    async with Emulator(speed=50) as second, session_on(second, ledger=runs) as other:
        assert not (await other.subscribe(LLM, ASK, key="a")).from_ledger


async def test_keyed_calls_work_over_a_custom_transport(runs: Where) -> None:
    transport = Canned()
    async with Session(transport=transport, ledger=runs) as fal:
        first = await fal.subscribe(LLM, ASK, key="a")
        again = await fal.subscribe(LLM, ASK, key="a")
        assert (again.data, again.from_ledger) == (first.data, True)
    assert [request.operation for request in transport.requests].count(Operation.SUBMIT) == 1


async def test_a_ledger_passed_to_a_session_stays_open_after_the_session(
    emulator: Emulator, runs: Where
) -> None:
    async with await Ledger.open(runs) as ledger:
        async with session_on(emulator, ledger=ledger) as fal:
            result = await fal.subscribe(LLM, ASK, key="a")
        entry = await ledger.get("a")
        assert entry is not None
        assert (entry.state, entry.request_id) == ("done", result.request_id)


async def test_forced_forget_cancels_the_request_by_its_session_first(
    emulator: Emulator, runs: Where
) -> None:
    gate_at(emulator)
    async with await Ledger.open(runs) as ledger, session_on(emulator, ledger=ledger) as fal:
        emulator.endpoint("me/one", runners=1)(gate_at(emulator, "me/one"))
        first = asyncio.create_task(fal.subscribe("me/one", {"n": 0}))
        await emulator.wait_for("status")
        handle = await fal.queue.submit("me/one", ASK, key="a")
        await ledger.forget("a", force=True)
        assert await ledger.get("a") is None
        assert emulator.jobs[handle.request_id].cancel_requests == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


@pytest.mark.parametrize("ledger", [5, b"runs.db", object(), ["runs.db"], "/nonexistent/folder/runs.db"])
def test_an_invalid_ledger_is_refused_when_the_session_is_created(ledger: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"ledger|folder"):
        Session("a:b", ledger=ledger)


async def test_a_relative_ledger_path_is_resolved_when_the_session_is_created(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    for _ in range(2):
        monkeypatch.chdir(tmp_path)
        async with session_on(emulator, ledger="runs.db") as fal:
            monkeypatch.chdir("out")
            await fal.subscribe(LLM, ASK, key="a")
    assert emulator.count("submit") == 1


# Event loops and processes.


def test_a_session_with_a_ledger_is_refused_in_another_event_loop(runs: Where) -> None:
    async def once(session: Session | None) -> Session:
        async with Emulator(speed=50) as emulator:
            fal = session or Session(emulator.key, hosts=emulator.hosts, ledger=runs)
            await fal.subscribe(LLM, ASK, key="a")
            if session is None:
                await fal.aclose()
            return fal

    fal = asyncio.run(once(None))
    with pytest.raises(SessionStateError):
        asyncio.run(once(fal))


LEAVER = """
import asyncio, sys
from fal_async import Hosts, Session
async def main(url, key, runs, until):
    fal = Session(key, hosts=Hosts.local(url), ledger=runs)
    asyncio.create_task(fal.subscribe("me/gate", {"prompt": "x"}, key="a"))
    await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(("operation", "state"), [("status", "submitted"), ("submit", "uncertain")])
async def test_a_program_ending_with_an_open_session_neither_hangs_nor_loses_its_request(
    emulator: Emulator, fal: Session, runs: Where, operation: str, state: str
) -> None:
    gate = gate_at(emulator)
    if operation == "submit":
        emulator.faults.add(Fault.stall(60, on="submit"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", LEAVER, emulator.url, emulator.key, str(runs), operation),
        stdin=subprocess.PIPE,
    )
    await emulator.wait_for(operation, timeout=60)
    await process.communicate(b"end\n")
    assert process.returncode == 0
    record = await entry_of_dead(fal, runs)
    assert record is not None
    assert (record.state, record.owner_lives) == (state, False)
    gate.open()
    if state == "submitted":
        assert (await fal.subscribe(GATE, ASK, key="a")).data == ASK
    assert len(emulator.jobs) == 1


STOPPED = """
import asyncio, signal, sys
from fal_async import Hosts, Session
signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a background shell ignore it
async def main(url, key, runs):
    async with Session(key, hosts=Hosts.local(url), ledger=runs) as fal:
        try:
            await fal.subscribe("me/gate", {"prompt": "x"}, key="a")
        finally:
            print("leaving", flush=True)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_program_interrupted_twice_stores_its_claim_as_uncertain(
    emulator: Emulator, fal: Session, runs: Where
) -> None:
    gate_at(emulator)
    emulator.faults.add(Fault.stall(60, on="submit"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STOPPED, emulator.url, emulator.key, str(runs)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    await emulator.wait_for("submit", timeout=60)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"leaving\n"
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    assert b"KeyboardInterrupt" in said
    record = await entry_of_dead(fal, runs)
    assert record is not None
    assert (record.state, len(emulator.jobs)) == ("uncertain", 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
async def test_a_forked_child_is_refused_keyed_calls_of_the_parents_session(
    fal: Session, emulator: Emulator
) -> None:
    await fal.subscribe(LLM, ASK, key="a")
    child = os.fork()
    if child == 0:
        os._exit(_status_of_child(fal))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 42
    assert (await fal.subscribe(LLM, ASK, key="a")).from_ledger


def _status_of_child(fal: Session) -> int:
    asyncio.events._set_running_loop(None)
    try:
        asyncio.run(fal.subscribe(LLM, ASK, key="a"))
    except SessionStateError:
        return 42
    except BaseException:
        return 1
    return 0


async def test_module_level_shortcuts_refuse_a_key_as_they_have_no_ledger() -> None:
    with pytest.raises(ConfigurationError, match="needs a ledger"):
        await fal_async.subscribe(LLM, ASK, key="a")


CALLER = """
import asyncio, json, sys
from fal_async import Hosts, Session
async def main(url, key, runs, count):
    async with Session(key, hosts=Hosts.local(url), ledger=runs) as fal:
        calls = (fal.subscribe("fal-ai/any-llm", {"prompt": "x"}, key="shared") for _ in range(count))
        results = await asyncio.gather(*calls)
    print(json.dumps([[result.request_id, result.data] for result in results]))
asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
"""


async def test_callers_in_several_processes_share_one_request(emulator: Emulator, runs: Where) -> None:
    async def caller() -> list[Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CALLER, emulator.url, emulator.key, str(runs), "10"),
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        found: list[Any] = json.loads(out)
        return found

    answers = [answer for some in await asyncio.gather(*(caller() for _ in range(4))) for answer in some]
    assert len(answers) == 40
    assert all(answer == answers[0] for answer in answers)
    assert emulator.count("submit") == 1


# Inputs with files.


async def test_a_file_is_compared_by_its_content_before_it_is_uploaded(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG not really")
    gate = gate_at(emulator)
    gate.open()
    first = await fal.subscribe(GATE, {"image": picture}, key="a")
    uploads = emulator.count("upload") + emulator.count("initiate")
    assert uploads > 0
    same = tmp_path / "copy.png"
    same.write_bytes(picture.read_bytes())
    for again in (picture, same, File(picture.read_bytes(), content_type="image/png")):
        assert (await fal.subscribe(GATE, {"image": again}, key="a")).data == first.data
    picture.write_bytes(b"\x89PNG another one")
    with pytest.raises(KeyConflictError):
        await fal.subscribe(GATE, {"image": picture}, key="a")
    assert emulator.count("upload") + emulator.count("initiate") == uploads
    assert emulator.count("submit") == 1


class ChangingFile:
    """A store that rewrites a file each time a key is looked up."""

    def __init__(self, store: Store, file: Path) -> None:
        self._store, self._file = store, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def find(self, place: Place, *, payloads: bool = True) -> Record | None:
        self._file.write_text("another")
        return await self._store.find(place, payloads=payloads)


@pytest.mark.parametrize("by", [str, Path])
async def test_a_file_changed_between_its_digest_and_its_upload_is_not_submitted(
    emulator: Emulator, runs: Where, tmp_path: Path, by: Any
) -> None:
    frame = tmp_path / "frame.txt"
    frame.write_text("first")
    given = {**ASK, "frame": File(by(frame))}
    store = await open_store(runs)
    async with session_on(emulator, ledger=ChangingFile(store, frame)) as fal:
        with pytest.raises(UploadError, match=r"^input\.frame: the file was changed"):
            await fal.subscribe(LLM, given, key="a")
        assert emulator.count("submit") == 0
        await fal.subscribe(LLM, given, key="a")
    await store.aclose()
    assert emulator.count("submit") == 1


async def test_a_stream_that_can_be_read_only_once_is_refused_as_keyed_input(
    fal: Session, emulator: Emulator
) -> None:
    async def pieces() -> Any:
        yield b"x"

    with pytest.raises(ConfigurationError, match="only once"):
        await fal.subscribe(LLM, {"image": File(pieces())}, key="a")
    assert emulator.count() == 0


async def test_forced_forget_cancels_with_the_credentials_of_the_keys_tenant(
    emulator: Emulator, runs: Where
) -> None:
    gate_at(emulator)
    emulator.add_account("other:key")
    async with await Ledger.open(runs) as ledger, session_on(emulator, ledger=ledger) as fal:
        await fal.subscribe(LLM, ASK, key="a")
        theirs = fal.with_options(credentials="other:key", tenant="other")
        handle = await theirs.queue.submit(GATE, ASK, key="a")
        while emulator.jobs[handle.request_id].state != "IN_PROGRESS":
            await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match="is still running"):
            await ledger.forget("a", tenant="other", force=True)
        assert emulator.jobs[handle.request_id].cancel_requests == 1
    async with await Ledger.open(runs) as ledger, session_on(emulator, ledger=ledger) as fal:
        await fal.subscribe(LLM, ASK, key="a")
        with pytest.raises(SessionStateError, match="tenant 'other'"):
            await ledger.forget("a", tenant="other", force=True)
        assert await ledger.get("a", tenant="other") is not None


async def test_a_handle_has_ended_only_if_the_entry_has_the_outcome_of_its_attempt(fal: Session) -> None:
    attempts = (
        StoredRequest(n=1, request_id="id-1", outcome="done"),
        StoredRequest(n=2, request_id="id-2", outcome="failed"),
    )
    record = Record(
        number=1,
        version=1,
        place=Place(space=Space(origin="https://queue.fal.run"), key="a"),
        endpoint_id=LLM,
        input_digest="1:0",
        state="done",
        requests=attempts,
        end=Payload(content_type="application/json", body=b"{}"),
    )
    operations, calls = fal._view.operations, fal._view.keyed("a").calls
    ended = {
        one.request_id: LedgerRequest(
            operations, calls, operations.state_by_id(LLM, one.request_id or ""), record
        ).has_ended
        for one in attempts
    }
    assert ended == {"id-1": True, "id-2": False}
