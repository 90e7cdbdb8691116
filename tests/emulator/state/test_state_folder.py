"""The folder of a saved state: what is refused, and what a save leaves behind that fails or is killed."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fal_async.emulator import Emulator
from fal_async.emulator.state.state_folder import is_unused, read_head
from tests.emulator.caller import calling

SAVING = """
import asyncio, itertools, sys
from fal_async.emulator import Emulator

async def main():
    async with Emulator(builtins=False) as emulator:
        print(emulator.url, flush=True)
        for at in itertools.count():
            emulator.add_account(f"account-{at}:key")
            await emulator.save(sys.argv[1])
            print(at, flush=True)

asyncio.run(main())
"""


async def saved(folder: Path) -> None:
    async with Emulator(builtins=False) as emulator:
        await emulator.save(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_each_save_replaces_the_earlier_one_whole(tmp_path: Path) -> None:
    async with calling(Emulator()) as caller:
        await caller.emulator.save(tmp_path)
        await caller.run("fal-ai/any-llm", {"prompt": "x"})
        await caller.emulator.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved-2", "state.json"]
    assert len((tmp_path / "saved-2" / "jobs.jsonl").read_text().splitlines()) == 1


async def test_only_the_owner_may_read_what_is_saved(tmp_path: Path) -> None:
    await saved(tmp_path / "world")
    made = tmp_path / "world" / "saved-1"
    assert made.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.glob("*.json*")} == {0o600}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("state.json", "{", "state.json can't be loaded as a saved state: Expecting property name"),
        ("state.json", "[]", "its kind is not 'fal_async emulator state'"),
        (
            "state.json",
            '{"kind": "fal_async emulator state", "format": 2}',
            "its format is 2, and this version",
        ),
        ("saved-1/accounts.json", '[{"nickname": "me"}]', "accounts.json can't be loaded .*missing"),
        ("saved-1/accounts.json", None, "accounts.json can't be loaded .*No such file"),
        (
            "saved-1/clock.json",
            '{"now": "later", "moved_by_hand": []}',
            "clock.json .*expected float, but it is str",
        ),
        (
            "saved-1/faults.json",
            '{"faults": [{"fault": {"kind": "fire"}, "left": 1, "skip": 0}]}',
            "faults.json",
        ),
        ("saved-1/prices.json", '{"me/a": {"unit_price": "x", "unit": "u"}}', "prices.json"),
        ("saved-1/books.json", '{"accepted": 1, "ended": 0, "failed": 0, "more": 1}', "books.json .*more"),
        ("saved-1/jobs.jsonl", '{"request_id"\n', "jobs.jsonl can't be loaded"),
    ],
)
async def test_a_damaged_state_is_refused_with_file_and_reason(
    tmp_path: Path, name: str, text: str | None, reason: str
) -> None:
    await saved(tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=reason):
        Emulator(state=tmp_path)
    assert contents(tmp_path) == before


async def test_a_folder_with_something_else_is_neither_loaded_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"is not a saved state, since it has no state\.json"):
        Emulator(state=tmp_path)
    with pytest.raises(ValueError, match="which has something else: choose a new or empty folder"):
        await saved(tmp_path)
    (tmp_path / "state.json").write_text('{"kind": "fal_async emulator state", "format": 99}')
    with pytest.raises(ValueError, match="its format is 99"):
        await saved(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        await saved(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(FileNotFoundError, match="missing does not exist"):
        Emulator(state=tmp_path / "missing")


async def test_a_name_that_leads_out_of_the_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    await saved(tmp_path)
    (tmp_path / "secret").write_text("x")
    one = {"path": "files/b/1/a", "content": "../secret", "content_type": "text/plain"}
    (tmp_path / "saved-1" / "files.json").write_text(json.dumps({"files": [one]}))
    with pytest.raises(ValueError, match=r"'\.\./secret' is not the name of a file in the folder"):
        await Emulator(state=tmp_path, builtins=False).start()


async def test_a_missing_file_is_named_and_the_emulator_is_not_started(tmp_path: Path) -> None:
    await saved(tmp_path)
    one = {"path": "files/b/1/a", "content": "files/b/1/a", "content_type": "text/plain"}
    (tmp_path / "saved-1" / "files.json").write_text(json.dumps({"files": [one]}))
    emulator = Emulator(state=tmp_path, builtins=False)
    for _ in range(2):  # a start that has failed can be tried again
        with pytest.raises(ValueError, match=r"can't be copied: .*saved-1/files/b/1/a"):
            await emulator.start()
    assert emulator.folder is None


async def test_a_full_disk_leaves_the_earlier_state(tmp_path: Path) -> None:
    async with Emulator(builtins=False) as emulator:
        await emulator.save(tmp_path / "world")
        before = contents(tmp_path / "world")
        emulator.add_account("other:key")
        limits, handler = (
            resource.getrlimit(resource.RLIMIT_FSIZE),
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                await emulator.save(tmp_path / "world")
            with pytest.raises(OSError, match="File too large"):
                await emulator.save(tmp_path / "new")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert contents(tmp_path / "world") == before
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("pause", [0.0, 0.003])
def test_a_save_that_is_killed_leaves_the_old_state_or_the_new_one(tmp_path: Path, pause: float) -> None:
    world = tmp_path / "world"
    with subprocess.Popen(
        [sys.executable, "-c", SAVING, str(world)], stdout=subprocess.PIPE, text=True
    ) as saving:
        assert saving.stdout is not None
        assert saving.stdout.readline().startswith("http")
        number = [int(saving.stdout.readline()) for _ in range(5)][-1]
        with pytest.raises(subprocess.TimeoutExpired):
            saving.wait(pause)
        saving.kill()
        later = [int(line) for line in saving.stdout.read().split()]
    last = max([number, *later])
    names = list(Emulator(state=world, builtins=False).accounts)
    assert names in (["emulator", *(f"account-{at}" for at in range(last + more))] for more in (1, 2))


async def test_the_rest_of_a_killed_first_save_is_no_state_and_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "saved-1").mkdir()
    (tmp_path / "saved-1" / "clock.json").write_text("{")
    (tmp_path / "state.json.tmp").write_text("{")
    assert is_unused(tmp_path)
    await saved(tmp_path)
    assert read_head(tmp_path).saved == "saved-2"
    assert not (tmp_path / "saved-1").exists()


async def test_two_saves_at_the_same_time_follow_one_another(tmp_path: Path) -> None:
    async with Emulator(builtins=False) as emulator:
        await asyncio.gather(*(emulator.save(tmp_path) for _ in range(5)))
    Emulator(state=tmp_path, builtins=False)


async def test_the_state_is_saved_over_http_only_to_the_allowed_folder(tmp_path: Path) -> None:
    async with calling(Emulator(builtins=False)) as caller:

        async def save(**options: Any) -> tuple[int, Any]:
            answer = await caller.call("POST", "/_emulator/state/save", **options)
            return answer.status, answer.data

        status, data = await save()
        assert (status, "emulator.allow_saving" in data["detail"]) == (403, True)
        caller.emulator.allow_saving(tmp_path / "world")
        assert (await save(json={"folder": str(tmp_path / "elsewhere")}))[0] == 400
        assert (await save())[0] == 200
        foreign = {"Origin": "https://example.com"}
        assert (await save(headers=foreign))[0] == 403
    assert [path.name for path in tmp_path.iterdir()] == ["world"]
    assert read_head(tmp_path / "world").saved == "saved-1"
