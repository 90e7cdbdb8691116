"""`python -m benchmarks.storage`: large files up and down, beside a hand-written client and fal's own.

Every measurement is a fresh process against an emulator in another process; the rounds of the rivals alternate,
since the machine may be busy with other things. What is on the emulator's disk afterwards is hashed.
The kill: an upload with `resume=` gets SIGKILL in its midst, and a second process goes on.

    --size MIB          of the large file, default 1024
    --rounds N          of each rival, default 3; the medians are shown
    --rival-python PATH an interpreter that has `fal-client`; without it that rival is left out
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
PART, PARALLEL = 10 * MIB, 8
KEY = "emulator:key"


# The rivals; each runs in a process of its own and imports only what it needs.


async def ours_up(url: str, path: str) -> str:
    from fal_async import Hosts, Session

    async with Session(KEY, hosts=Hosts.local(url)) as fal:
        return await fal.storage.upload(path, parallel=PARALLEL, part_size=PART)


async def ours_up_resumable(url: str, path: str) -> str:
    from fal_async import Hosts, Session

    async with Session(KEY, hosts=Hosts.local(url)) as fal:
        return await fal.storage.upload(path, resume=path + ".resume", parallel=PARALLEL, part_size=PART)


async def ours_down(url: str, file_url: str) -> str:
    from fal_async import Hosts, Session

    with tempfile.TemporaryDirectory() as folder:
        async with Session(KEY, hosts=Hosts.local(url)) as fal:
            path = await fal.storage.download(file_url, Path(folder) / "file")
        return digest_of(path)


async def aiohttp_up(url: str, path: str) -> str:
    """What one writes by hand: the same parts, as many at a time, each read as a whole in a thread."""
    import aiohttp

    async with aiohttp.ClientSession() as http:
        grant_url = f"{url}/rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3"
        async with http.post(grant_url, json={}, headers={"Authorization": f"Key {KEY}"}) as response:
            grant = await response.json()
        headers = {"Authorization": f"{grant['token_type']} {grant['token']}", "Accept-Encoding": "identity"}
        begin_url = f"{grant['base_url']}/files/upload/multipart"
        async with http.post(begin_url, headers={**headers, "X-Fal-File-Name": "big.bin"}) as response:
            begun = await response.json()
        base = f"{begun['access_url']}/multipart/{begun['uploadId']}"
        limit, etags = asyncio.Semaphore(PARALLEL), {}

        async def send(number: int) -> None:
            async with limit:
                data = await asyncio.to_thread(read_part, path, number)
                async with http.put(f"{base}/{number}", data=data, headers=headers) as response:
                    response.raise_for_status()
                    etags[number] = response.headers["ETag"]

        count = -(-(await asyncio.to_thread(os.path.getsize, path)) // PART)
        await asyncio.gather(*(send(number) for number in range(1, count + 1)))
        parts = [{"partNumber": number, "etag": etags[number]} for number in sorted(etags)]
        async with http.post(f"{base}/complete", json={"parts": parts}, headers=headers) as response:
            response.raise_for_status()
    return str(begun["access_url"])


def read_part(path: str, number: int) -> bytes:
    with open(path, "rb") as file:
        file.seek((number - 1) * PART)
        return file.read(PART)


async def aiohttp_down(_: str, file_url: str) -> str:
    import aiohttp

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        async with aiohttp.ClientSession() as http, http.get(file_url) as response:
            with path.open("wb") as file:
                async for chunk in response.content.iter_chunked(512 * 1024):
                    await asyncio.to_thread(file.write, chunk)
        return digest_of(path)


async def official_up(url: str, path: str) -> str:
    """fal-client has no setting for these hosts: its constants are bent."""
    os.environ["FAL_KEY"] = KEY
    import fal_client.client as official

    official.REST_URL, official.CDN_URL = f"{url}/rest.fal.ai", f"{url}/v3.fal.media"
    return str(await official.AsyncClient().upload_file(Path(path)))


WORK: dict[str, Callable[[str, str], Awaitable[str]]] = {
    "fal_async up": ours_up,
    "fal_async up, resume=": ours_up_resumable,
    "fal_async down": ours_down,
    "aiohttp by hand up": aiohttp_up,
    "aiohttp by hand down": aiohttp_down,
    "fal-client up": official_up,
}


def worker(name: str, url: str, what: str) -> None:
    """Prints seconds (real ones, and this process's CPU), the peak of memory beyond what was in use after the
    imports (MiB), and what came of it."""
    for module in (
        "aiohttp",
        "fal_async.session",
        "fal_async.storage.client",
        "fal_async.transport",
        "fal_client.client",
    ):
        try:
            __import__(module)
        except ImportError:
            continue
    before, began, cpu = memory("VmRSS"), time.monotonic(), time.process_time()
    outcome: str = asyncio.run(WORK[name](url, what))  # type: ignore[arg-type]
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    print(
        json.dumps({"seconds": seconds, "cpu": cpu, "growth": memory("VmHWM") - before, "outcome": outcome})
    )


def memory(kind: str, pid: int | str = "self") -> float:
    """MiB: `VmRSS` now, `VmHWM` at most (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{kind}:")[2].split()[0]) / 1024


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# The measuring process.


@contextmanager
def emulator(folder: Path) -> Iterator[tuple[str, int]]:
    """Its URL and its process id."""
    code = (
        "import asyncio, sys\nfrom fal_async.emulator.serve import serve\n"
        "asyncio.run(serve(port=0, folder=sys.argv[1], out=sys.stdout))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(" at ")[1].split()[0]
        try:
            yield url, process.pid
        finally:
            process.terminate()


def measure(name: str, url: str, what: str, python: str) -> dict[str, Any]:
    command = [python, str(ROOT / "benchmarks" / "storage.py"), "--work", name, url, what]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or ["died without a word"])[-1]}
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def make_file(path: Path, size: int) -> str:
    digest, left = hashlib.sha256(), size
    with path.open("wb") as file:
        while left > 0:
            piece = os.urandom(min(left, 16 * MIB))
            file.write(piece)
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def stored(folder: Path, url: str) -> Path:
    return folder / url.partition(".fal.media/")[2]


def compare(folder: Path, url: str, size: int, rounds: int, rival_python: str | None) -> None:
    path = folder / "big.bin"
    expected = make_file(path, size)
    uploads = ["aiohttp by hand up", "fal_async up", "fal_async up, resume="]
    uploads += ["fal-client up"] if rival_python else []
    taken: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for name in uploads:
            python = rival_python if name.startswith("fal-client") and rival_python else sys.executable
            taken.setdefault(name, []).append(upload_once(name, folder, url, path, expected, python))
    kept = measure("fal_async up", url, str(path), sys.executable)["outcome"]
    for _ in range(rounds):
        for name in ("aiohttp by hand down", "fal_async down"):
            figures = measure(name, url, kept, sys.executable)
            figures["same"] = figures.get("outcome") == expected
            taken.setdefault(name, []).append(figures)
    table(taken, size)


def upload_once(name: str, folder: Path, url: str, path: Path, expected: str, python: str) -> dict[str, Any]:
    figures = measure(name, url, str(path), python)
    if "outcome" in figures:
        there = stored(folder / "cdn", figures["outcome"])
        figures["same"] = digest_of(there) == expected
        there.unlink()
    return figures


def table(taken: dict[str, list[dict[str, Any]]], size: int) -> None:
    print(f"| {size / MIB:.0f} MiB | seconds | beside by hand | client's CPU s | memory, MiB more | hash |")
    print("|---|---|---|---|---|---|")
    for name, rounds in taken.items():
        failed = [figures["failed"] for figures in rounds if "failed" in figures]
        if failed:
            print(f"| {name} | failed: {failed[0]} | | | | |")
            continue
        floor = "aiohttp by hand " + ("down" if name.endswith("down") else "up")
        by_hand = statistics.median(figures["seconds"] for figures in taken[floor])
        seconds = statistics.median(figures["seconds"] for figures in rounds)
        cpu = statistics.median(figures["cpu"] for figures in rounds)
        growth = max(figures["growth"] for figures in rounds)
        same = "equal" if all(figures["same"] for figures in rounds) else "DIFFERENT"
        print(f"| {name} | {seconds:.2f} | {seconds / by_hand:.2f} | {cpu:.2f} | {growth:.0f} | {same} |")


def kill(folder: Path, url: str, size: int) -> None:
    path = folder / "killed.bin"
    expected = make_file(path, size)
    record = Path(f"{path}.resume")
    before = counts(url).get("part", 0)
    command = [sys.executable, __file__, "--work", "fal_async up, resume=", url, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        while not record.exists() or noted(record) < 12:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    arrived, first = noted(record), counts(url)["part"] - before
    done = measure("fal_async up, resume=", url, str(path), sys.executable)
    second = counts(url)["part"] - before - first
    same = digest_of(stored(folder / "cdn", done["outcome"])) == expected
    total = -(-size // PART)
    print(
        f"\nSIGKILL in the midst of {size / MIB:.0f} MiB ({total} parts): {first} parts were begun, {arrived} of "
        f"them noted as arrived; the second process sent {second} (missing: {total - arrived}), "
        f"hash {'equal' if same else 'DIFFERENT'}, record gone: {not record.exists()}"
    )


def noted(record: Path) -> int:
    return record.read_text().count('{"part":')


def counts(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/_emulator") as response:
        found: dict[str, int] = json.load(response)["counts"]
        return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description=__doc__)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--kill-size", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rival-python")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        worker(*options.work)
        return
    with (
        tempfile.TemporaryDirectory(prefix="fal-storage-") as name,
        emulator(Path(name) / "cdn") as (url, pid),
    ):
        compare(Path(name), url, options.size * MIB, options.rounds, options.rival_python)
        kill(Path(name), url, options.kill_size * MIB)
        print(f"\nThe emulator's own memory was {memory('VmHWM', pid):.0f} MiB at most.")


if __name__ == "__main__":
    main()
