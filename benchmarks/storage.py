"""`python -m benchmarks.storage`: uploads and downloads of large files, compared with other clients.

The other clients are a hand-written one and fal's own. Every measurement is a fresh process against an emulator
in another process. The rounds of the rivals alternate, as the machine may be busy with other things. The files on
the emulator's disk are verified by their hash. The kill test: an upload with `resume=` gets SIGKILL half-way, and
a second process resumes it.

    --size MIB          size of the large file, default 1024
    --kill-size MIB     size of the file whose upload is killed, default 300
    --rounds N          rounds of each rival, default 3; the medians are shown
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.harness import processes
from benchmarks.harness.worker import ServerView
from benchmarks.rivals.transfers import PART, digest_of

MIB = 1024 * 1024
LIMIT = 600.0
"""Seconds that one transfer may take."""


def measure(name: str, url: str, what: str) -> dict[str, Any]:
    try:
        measured: dict[str, Any] = processes.run_script(*command(name, url, what), limit=LIMIT)[2]
    except RuntimeError as error:
        return {"failed": str(error)}
    return measured


def command(name: str, url: str, what: str) -> tuple[str, ...]:
    return ("-m", "benchmarks.rivals.transfers", name, url, what)


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


def compare(folder: Path, url: str, size: int, rounds: int) -> None:
    path = folder / "big.bin"
    expected = make_file(path, size)
    uploads = ["aiohttp by hand up", "fal_async up", "fal_async up, resume="]
    uploads += ["fal-client up"] if importlib.util.find_spec("fal_client") else []
    taken: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for name in uploads:
            taken.setdefault(name, []).append(upload_once(name, folder, url, path, expected))
    kept = measure("fal_async up", url, str(path))["outcome"]
    for _ in range(rounds):
        for name in ("aiohttp by hand down", "fal_async down"):
            figures = measure(name, url, kept)
            figures["same"] = figures.get("outcome") == expected
            taken.setdefault(name, []).append(figures)
    table(taken, size)


def upload_once(name: str, folder: Path, url: str, path: Path, expected: str) -> dict[str, Any]:
    figures = measure(name, url, str(path))
    if "outcome" in figures:
        there = stored(folder / "cdn", figures["outcome"])
        figures["same"] = digest_of(there) == expected
        there.unlink()
    return figures


def table(taken: dict[str, list[dict[str, Any]]], size: int) -> None:
    print(
        f"| {size / MIB:.0f} MiB | seconds | relative to aiohttp by hand | CPU s of the client "
        "| memory growth, MiB | hash |"
    )
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
        growth = max(figures["growth"] for figures in rounds) / MIB
        same = "equal" if all(figures["same"] for figures in rounds) else "DIFFERENT"
        print(f"| {name} | {seconds:.2f} | {seconds / by_hand:.2f} | {cpu:.2f} | {growth:.0f} | {same} |")


def kill(folder: Path, url: str, size: int) -> None:
    path = folder / "killed.bin"
    expected = make_file(path, size)
    record = Path(f"{path}.resume")
    before = parts_sent(url)
    with processes.start(*command("fal_async up, resume=", url, str(path))) as process:
        while noted(record) < 12 and process.poll() is None:
            time.sleep(0.002)
        process.kill()
    arrived, first = noted(record), parts_sent(url) - before
    done = measure("fal_async up, resume=", url, str(path))
    second = parts_sent(url) - before - first
    same = digest_of(stored(folder / "cdn", done["outcome"])) == expected
    total = -(-size // PART)
    print(
        f"\nSIGKILL during an upload of {size / MIB:.0f} MiB ({total} parts): {first} parts were begun, "
        f"{arrived} of them recorded as arrived; the second process sent {second} (missing: {total - arrived}), "
        f"hash {'equal' if same else 'DIFFERENT'}, record deleted: {not record.exists()}"
    )


def noted(record: Path) -> int:
    return record.read_text().count('{"part":') if record.exists() else 0


def parts_sent(url: str) -> int:
    count: int = report(url)["requests"]["part"]
    return count


def report(url: str) -> dict[str, Any]:
    with closing(ServerView(url)) as server:
        return server.report()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.storage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--kill-size", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fal-storage-") as name:
        folder = Path(name)
        with processes.server("emulator", str(folder / "cdn")) as url:
            compare(folder, url, options.size * MIB, options.rounds)
            kill(folder, url, options.kill_size * MIB)
            print(f"\nThe emulator used at most {report(url)['memory'] / MIB:.0f} MiB of memory.")


if __name__ == "__main__":
    main()
