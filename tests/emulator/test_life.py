from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async.config import Hosts
from fal_async.emulator import Emulator, JobContext
from tests.emulator.caller import Caller


async def is_refused(emulator_url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(emulator_url):
            return False
    except aiohttp.ClientConnectorError:
        return True


def files_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*.txt")]


async def test_an_emulator_can_be_started_and_stopped_again_but_not_started_twice() -> None:
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="not started"):
        _ = emulator.url
    await emulator.start()
    with pytest.raises(RuntimeError, match="already started"):
        await emulator.start()
    url = emulator.url
    await emulator.stop()
    assert await is_refused(url)
    await emulator.stop()
    async with emulator:
        assert not await is_refused(emulator.url)


async def test_a_given_port_is_used_and_one_in_use_is_refused() -> None:
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port: int = finder.getsockname()[1]
    async with Emulator(port=port) as emulator:
        assert emulator.url == f"http://127.0.0.1:{port}"
        with pytest.raises(OSError, match="in use"):
            await Emulator(port=port).start()


async def test_the_index_lists_hosts_and_endpoints(caller: Caller) -> None:
    index = await caller.get("/", headers={})
    assert index.data["hosts"]["queue.fal.run"] == f"{caller.emulator.url}/queue.fal.run"
    assert "fal-ai/flux/dev" in index.data["endpoints"]


async def test_stop_ends_running_waiting_and_direct_requests_and_streams(tmp_path: Path) -> None:
    ended: list[str] = []
    emulator = Emulator(folder=tmp_path)

    @emulator.endpoint("me/endless", runners=1)
    async def endless(input: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(input["name"])

    async with emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        submitted = await caller.submit("me/endless", {"name": "running"})
        waiting = await caller.submit("me/endless", {"name": "waiting"})
        run = asyncio.create_task(caller.run("me/endless", {"name": "direct"}))
        stream = await http.get(
            submitted.data["status_url"] + "/stream", headers={"Authorization": f"Key {emulator.key}"}
        )
        await emulator.wait_for("run")
        await caller.reached(submitted, "IN_PROGRESS")
        await emulator.stop()
        stream.close()
        with pytest.raises(aiohttp.ClientError):
            await run
    assert ended == ["running"]
    assert {job.state for job in emulator.jobs.values()} == {"COMPLETED"}
    assert emulator.jobs[waiting.data["request_id"]].attempts == 0
    assert os.listdir(tmp_path) == []


async def test_files_are_removed_with_the_temporary_folder_but_stay_in_a_given_one(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        emulator = Emulator(folder=folder)

        @emulator.endpoint("me/file")
        async def produce(input: Any, job: JobContext) -> Any:
            return await job.file(b"data", "text/plain", "../../a name.txt")

        async with emulator, aiohttp.ClientSession() as http:
            caller = Caller(emulator, http)
            file = (await caller.run("me/file", {})).data
            assert (file["file_name"], file["file_size"], file["content_type"]) == (
                "../../a name.txt",
                4,
                "text/plain",
            )
            assert file["url"].startswith(f"{emulator.url}/v3.fal.media/files/b/")
            served = await caller.get(file["url"], headers={})
            assert (served.status, served.body) == (200, b"data")
            assert served.headers["Content-Type"] == "text/plain"
            part = await caller.get(file["url"], headers={"Range": "bytes=1-2"})
            assert (part.status, part.body) == (206, b"at")
            assert (await caller.get("/v3.fal.media/files/b/00000000/none.txt", headers={})).status == 404
            root = emulator.folder
            assert root is not None
        assert root.exists() == (folder is not None)
    assert files_in(tmp_path) == [b"data"]


async def test_a_path_outside_the_file_folder_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    inside = tmp_path / "files"
    inside.mkdir()
    async with Emulator(folder=inside) as emulator:
        host, port = emulator.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v3.fal.media/%2e%2e/secret.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 404")


async def test_pause_refuses_connections_and_resume_accepts_them_on_the_same_port(caller: Caller) -> None:
    emulator, url = caller.emulator, caller.emulator.url
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    await emulator.pause()
    assert emulator.connections_open == 0
    assert await is_refused(url)
    await emulator.pause()
    await emulator.resume()
    await emulator.resume()
    assert emulator.url == url
    assert (await caller.finished(submitted)).data["status"] == "COMPLETED"


async def test_a_resume_during_a_pause_waits_for_it_and_listens_again(caller: Caller) -> None:
    pausing = asyncio.create_task(caller.emulator.pause())
    await asyncio.sleep(0)  # the pause has begun
    await caller.emulator.resume()
    assert pausing.done()
    assert (await caller.run("fal-ai/any-llm", {"prompt": "x"})).status == 200


async def test_a_restart_with_memory_completes_submitted_requests(caller: Caller) -> None:
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    await caller.emulator.restart()
    assert (await caller.finished(submitted)).data["status"] == "COMPLETED"
    assert (await caller.result(submitted)).status == 200


async def test_a_restart_without_memory_answers_404_but_jobs_still_lists_its_requests(caller: Caller) -> None:
    @caller.emulator.endpoint("me/endless", runners=1)
    async def endless(input: Any) -> None:
        await asyncio.Event().wait()

    running = await caller.submit("me/endless")
    waiting = await caller.submit("me/endless")
    await caller.emulator.restart(keep_memory=False, downtime=0.01)
    for submitted in (running, waiting):
        assert (await caller.status(submitted)).data == {"status": "NOT_FOUND"}
        job = caller.emulator.jobs[submitted.data["request_id"]]
        assert job.forgotten
        assert job.error_type == "runner_disconnected"
    again = await caller.submit("me/endless")
    assert (await caller.status(again)).data["status"] == "IN_PROGRESS"


async def test_the_emulator_counts_opened_and_open_connections(emulator: Emulator) -> None:
    assert (emulator.connections_opened, emulator.connections_open) == (0, 0)
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            async with http.get(emulator.url):
                pass
        assert (emulator.connections_opened, emulator.connections_open) == (1, 1)
    async with aiohttp.ClientSession() as http, http.get(emulator.url):
        assert emulator.connections_opened == 2


async def test_the_hosts_property_points_at_the_emulator(emulator: Emulator) -> None:
    assert emulator.hosts == Hosts.local(emulator.url)


def test_importing_the_package_and_the_plugin_does_not_import_aiohttp() -> None:
    script = (
        "import sys, fal_async.emulator, fal_async.emulator.pytest_plugin\n"
        "assert 'aiohttp' not in sys.modules and 'fal_async.emulator.server' not in sys.modules\n"
        "from fal_async.emulator import Emulator\n"
        "assert 'aiohttp' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_an_unknown_name_of_the_package_raises_attribute_error() -> None:
    import fal_async.emulator as package

    with pytest.raises(AttributeError, match="Emulatr"):
        _ = package.Emulatr


@pytest.mark.parametrize("speed", [0, -1])
def test_the_emulator_refuses_a_speed_that_is_not_positive(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Emulator(speed=speed)


@pytest.mark.parametrize(
    "options",
    [
        {"port": 99999},
        {"speed": 0},
        {"speed": math.nan},
        {"keep_alive": 0},
        {"retry_pause": -1},
        {"retention": -1},
        {"runners": 0},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_the_emulator_refuses_numbers_out_of_range_and_names_them(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}={options[name]}: expected "):
        Emulator(**options)
