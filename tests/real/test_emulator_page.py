"""The emulator's page in headless Chromium: what it shows, and what a person, and foreign text, can do there."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async import Session
from fal_async.emulator import Emulator, Fault, JobContext, ModelError, Polls, Recordings
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from tests.emulator.cassettes.samples import cassette
from tests.real.chromium import Page, chromium
from tests.real.conftest import node_with, output_of
from tests.real.emulator_page import cut_off, look, press, rows, serious_problems

SCREENSHOTS = os.environ.get("FAL_ASYNC_SCREENSHOTS")
"""A folder in which to keep the screenshots, for people."""
MODEL = "fal-ai/flux/dev"
HOSTILE = "<img src=x onerror=pwned()><script>pwned()</script>'\"`${pwned()}"
VIEWS = [
    "requests",
    "endpoints",
    f"endpoints/{MODEL}",
    "http",
    "faults",
    "books",
    "files",
    "webhooks",
    "accounts",
]
SHOWN = "main tbody tr, main form, main .media li, main .facts, main .empty"
"""What a view has when its data have arrived."""
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1360, 400)]


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium")
    async with chromium(tmp_path / "profile", limit=240) as page:
        await page.note_problems()
        await look(page, width=1360, height=1000, scheme="light")
        yield page


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return Path(SCREENSHOTS or tmp_path)


@pytest.fixture
async def axe(workshop: Path) -> Path:
    return node_with(workshop) / "node_modules" / "axe-core" / "axe.min.js"


async def go(page: Page, place: str, condition: str = "true") -> None:
    await page.ask(f"location.hash = '#/{place}'")
    await page.until(f"document.querySelector('main h1') && ({condition})")


async def shot_of_each_look(page: Page, folder: Path, name: str) -> None:
    for scheme, width in LOOKS:
        await look(page, width=width, height=1000, scheme=scheme)
        await page.screenshot(folder / f"{name}-{scheme}-{width}.png")
        assert await cut_off(page) == []
    await look(page, width=1360, height=1000, scheme="light")


def serve_hostile(emulator: Emulator) -> None:
    @emulator.endpoint(
        "me/hostile", metadata={"description": HOSTILE, "category": HOSTILE}, unit=HOSTILE, price=1
    )
    async def hostile(input: Any, job: JobContext) -> Any:
        job.log(HOSTILE, HOSTILE)
        page = await job.file(f"<script>{HOSTILE}</script>".encode(), "text/html", HOSTILE)
        svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="pwned()"><script>pwned()</script></svg>'
        files = [page, await job.file(svg, "image/svg+xml", "a.svg")]
        return {HOSTILE: HOSTILE, "url": f"javascript:{HOSTILE}", "files": files}

    @emulator.endpoint("me/fails")
    async def fails(input: Any) -> Any:
        raise ModelError(422, HOSTILE, HOSTILE.replace("<", ""), {"X-Bad": "1"})


async def test_foreign_text_is_shown_as_text_and_executes_nothing(page: Page) -> None:
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        serve_hostile(emulator)
        sent = {"Authorization": f"Key {emulator.key}", "X-Hostile": HOSTILE}
        ids = []
        for endpoint in ("me/hostile", "me/fails"):
            url = f"{emulator.url}/fal.run/{endpoint}"
            async with http.post(url, json={"prompt": HOSTILE, HOSTILE: HOSTILE}, headers=sent) as answer:
                ids.append(answer.headers["x-fal-request-id"])
        await page.call(
            "Page.addScriptToEvaluateOnNewDocument", source="window.pwned = () => { window.bad = 1; }"
        )
        await page.open(f"{emulator.url}/")
        shown = f"document.querySelector('main').innerText.includes({HOSTILE[:20]!r})"
        await go(page, "requests", shown)
        for request_id in ids:
            await go(page, f"requests/{request_id}", "document.querySelectorAll('pre').length > 1")
        await go(page, "endpoints/me/hostile", "document.querySelector('form pre, .tag')")
        await go(page, "http/0", "document.querySelectorAll('pre').length > 1")
        for place in VIEWS:
            await go(page, place)
        assert await page.ask("window.bad") is None
        assert (
            await page.ask(
                "document.querySelectorAll('main script, main [onerror], main a[href^=javascript]').length"
            )
            == 0
        )
        assert page.problems == []
        [html] = [file for file in await _files(http, emulator) if file["content_type"] == "text/html"]
        await page.open(f"{emulator.url}/v3.fal.media/{html['path']}")
        with pytest.raises(AssertionError, match="SecurityError"):
            await page.ask("localStorage.length")  # its origin is opaque
        read = f"fetch('{emulator.url}/_emulator/accounts').then((answer) => answer.status, () => 'refused')"
        assert await page.ask(read) == "refused"


async def _files(http: aiohttp.ClientSession, emulator: Emulator) -> Any:
    async with http.get(f"{emulator.url}/_emulator/files") as answer:
        return await answer.json()


async def test_a_request_is_made_with_the_form_and_followed_to_its_picture(page: Page) -> None:
    async with Emulator(speed=10) as emulator:
        await page.open(f"{emulator.url}/")
        await go(page, f"endpoints/{MODEL}", "document.getElementById('in-prompt')")
        await page.ask("document.getElementById('in-prompt').value = 'a green door'")
        await page.ask("document.getElementById('in-num_images').value = '2'")
        await page.ask("document.querySelector('form button.main').click()")
        await page.until("document.querySelectorAll('.media img').length === 2")
        await page.until(
            "[...document.querySelectorAll('.media img')].every((one) => one.naturalWidth === 1024)"
        )
        [job] = emulator.jobs.values()
        assert job.input == {"prompt": "a green door", "num_images": 2}
        assert await page.ask("document.querySelectorAll('.log p').length") == len(job.logs) > 20
        assert emulator.count("file") == 0
        await page.ask("document.getElementById('in-num_images').value = '9'")
        await page.ask("document.querySelector('form').noValidate = true")
        await page.ask("document.querySelector('form button.main').click()")
        await page.until(
            "document.querySelector('.warn') && document.querySelector('.warn').innerText.includes('422')"
        )
        assert page.problems == []


async def test_faults_are_switched_on_and_off_and_added_with_the_form(page: Page) -> None:
    async with Emulator() as emulator:
        await page.open(f"{emulator.url}/")
        await go(page, "faults", "document.getElementById('fault-kind')")
        await page.ask("document.querySelector('.switch').click()")
        await page.until("document.querySelector('.switch').ariaChecked === 'true'")
        assert [(fault.kind, fault.on, fault.status) for fault in emulator.faults] == [
            ("answer", "submit", 503)
        ]
        await page.ask("document.querySelector('.switch').click()")
        await page.until("document.querySelector('.switch').ariaChecked === 'false'")
        assert len(emulator.faults) == 0
        await page.ask("document.getElementById('fault-times').value = '3'")
        await page.ask("document.querySelector('form button.main').click()")
        await page.until("document.querySelectorAll('main tbody tr').length === 1")
        assert [(fault.kind, fault.times) for fault in emulator.faults] == [("answer", 3)]
        assert page.problems == []


async def test_a_view_shows_its_state_at_once_when_it_is_opened(page: Page) -> None:
    states = "[...document.querySelectorAll('.switch')].map((one) => `${one.ariaChecked} ${one.disabled}`)"
    async with Emulator() as emulator:
        emulator.faults.add(Fault.answer(503, on="submit", times=None))
        await page.open(f"{emulator.url}/")
        await page.until("document.getElementById('link').dataset.state === 'live'")
        for place in ("webhooks", "faults"):
            seen = f"addEventListener('hashchange', () => done({states}), {{ once: true }})"
            found = await page.ask(f"new Promise((done) => {{ {seen}; location.hash = '#/{place}' }})")
            assert found[0] == "true false"
            assert "false true" not in found


async def test_the_page_is_used_with_the_keyboard_alone(page: Page) -> None:
    focused = "document.activeElement.innerText ?? document.activeElement.ariaLabel"
    async with Emulator(speed=50) as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        await fal.run("fal-ai/any-llm", {"prompt": "hello"})
        await page.open(f"{emulator.url}/")
        await page.until("document.querySelectorAll('.jobs tbody tr').length === 1")
        await press(page, "Tab")
        assert await page.ask(focused) == "Skip to content"
        await press(page, "Enter")
        assert await page.ask("document.activeElement.id") == "view"
        for _ in range(20):
            await press(page, "Tab")
            if await page.ask("document.activeElement.closest('.jobs') !== null"):
                break
        await press(page, "Enter")
        await page.until("document.querySelector('section[aria-label=\"One request\"] .pill')")
        assert await page.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.ask("document.querySelector('#nav a').focus()")
        for _ in range(3):
            await press(page, "Tab")
        assert (await page.ask(focused)).startswith("Faults")
        await press(page, "Enter")
        await page.until("document.querySelector('.switch')")
        for _ in range(2):
            await press(page, "Tab")
        await press(page, " ")
        await page.until("document.querySelector('.switch').ariaChecked === 'true'")


async def test_axe_finds_nothing_serious_and_nothing_is_cut_off_in_any_view(page: Page, axe: Path) -> None:
    async with Emulator(speed=50, runners=1) as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        serve_hostile(emulator)
        waiting = asyncio.Event()

        @emulator.endpoint("me/waits")
        async def waits(input: Any) -> Any:
            await waiting.wait()

        done = await fal.subscribe(MODEL, {"prompt": "a cat", "num_images": 2})
        await fal.run("me/hostile", {"prompt": HOSTILE})
        for number in range(3):
            await fal.queue.submit("me/waits", {"number": number})
        await page.open(f"{emulator.url}/")
        for place in [*VIEWS, f"requests/{done.request_id}", "http/0"]:
            for scheme, width in LOOKS:
                await look(page, width=width, height=900, scheme=scheme)
                await go(
                    page,
                    place,
                    f"document.querySelector({SHOWN!r})",
                )
                assert await serious_problems(page, axe) == [], (place, scheme, width)
                assert await cut_off(page) == [], (place, scheme, width)
        assert page.problems == []
        waiting.set()


async def test_virtual_time_is_shown_and_moved_and_ages_are_counted_by_it(
    page: Page, kept: Path, axe: Path
) -> None:
    label = "document.querySelector('#clock').innerText"
    ran = "[...document.querySelectorAll('.facts div')].find((one) => one.innerText.startsWith('Ran')).innerText"
    async with Emulator(clock="manual") as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:

        @emulator.endpoint("me/training")
        async def training(input: Any, job: JobContext) -> Any:
            job.log("epoch 1")
            await job.sleep(7200)

        began = emulator.now
        one = await fal.queue.submit("me/training", {"images": "a.zip"})
        await page.open(f"{emulator.url}/")
        await page.until(f"{label}.startsWith('virtual time')")
        await go(page, f"requests/{one.request_id}", "document.querySelector('.log p')")
        await page.ask("document.querySelector('#clock summary').click()")
        buttons = "document.querySelectorAll('#clock button')"
        await page.ask(f"{buttons}[1].click()")
        await page.until(f"!{buttons}[1].disabled && {ran}.includes('1 h 0 min')")
        assert emulator.now == began + 3600
        await shot_of_each_look(page, kept, "5-virtual-time")
        assert await serious_problems(page, axe) == []
        await page.ask(f"document.querySelector('#clock input').value = '1e12'; {buttons}[2].click()")
        await page.until("document.querySelector('#clock .error').innerText.includes('up to the year 9999')")
        await page.ask(f"document.querySelector('#clock input').value = '3600'; {buttons}[2].click()")
        await page.until(
            "document.querySelector('section[aria-label=\"One request\"] .pill').innerText === 'completed'"
        )
        assert await page.ask("document.querySelector('#clock .error').innerText") == ""
        [refused] = page.problems
        assert "400" in refused


async def test_a_request_that_polls_move_on_is_polled_from_the_page(page: Page) -> None:
    state = "document.querySelector('[aria-label=\"One request\"] .pill')?.innerText"
    poll = "[...document.querySelectorAll('button')].find((one) => one.innerText === 'Poll once')"
    async with Emulator() as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:

        @emulator.endpoint("me/polled", polls=Polls(queued=1, running=1))
        async def polled(input: Any) -> Any:
            return input

        one = await fal.queue.submit("me/polled", {"n": 1})
        await page.open(f"{emulator.url}/#/requests/{one.request_id}")
        for before, after in (("queued", "running"), ("running", "completed")):
            await page.until(f"{state} === {before!r}")
            if before == "queued":
                await page.ask(f"{poll}.click()")
            await page.ask(f"{poll}.click()")
            await page.until(f"{state} === {after!r}")
        assert await page.ask(f"{poll} === undefined || {poll}.hidden")
        assert "1 queued, 1 running" in await page.ask("document.querySelector('.facts').innerText")
        assert page.problems == []


async def test_requests_are_filtered_by_scope_until_the_scope_is_closed(page: Page, kept: Path) -> None:
    chosen = "document.querySelector('main select[aria-label=\"All scopes\"]')"
    async with Emulator(clock="auto") as emulator:
        first, second = emulator.scope("checkout"), emulator.scope("upload")
        await page.open(f"{emulator.url}/")
        for scope, requests in ((first, 2), (second, 1)):
            async with Session(scope.key, hosts=scope.hosts) as fal:
                for number in range(requests):
                    await fal.subscribe("fal-ai/any-llm", {"prompt": f"{scope.name} {number}"})
        await page.until(rows(3))
        choose = f"{chosen}.value = 'checkout'; {chosen}.dispatchEvent(new Event('change'))"
        await page.ask(choose)
        await page.until(rows(2))
        await shot_of_each_look(page, kept, "7-scopes")
        await go(page, "http", "document.querySelector('.http tbody tr')")
        await page.ask(choose)
        arrived = len(first.requests)
        await page.until(f"document.querySelectorAll('.http tbody tr').length === {arrived}")
        await go(page, "requests", rows(3))
        await page.ask(choose)
        await page.until(rows(2))
        first.close()
        await page.until(f"{rows(3)} && {chosen}.value === ''")
        second.close()
        await page.until(f"{chosen}.hidden")
        assert page.problems == []


async def test_a_replayed_request_names_its_recording(page: Page, tmp_path: Path) -> None:
    name = CassetteFolder(tmp_path / "recordings").add(cassette({"prompt": "a cat"}, {"seed": 7})).name
    async with Emulator(clock="auto", recordings=Recordings(tmp_path / "recordings")) as emulator:
        async with Session(emulator.key, hosts=emulator.hosts) as fal:
            done = await fal.subscribe(MODEL, {"prompt": "a cat"})
        await page.open(f"{emulator.url}/#/requests/{done.request_id}")
        await page.until(f"document.querySelector('.facts')?.innerText.includes('{name}')")
        assert page.problems == []


async def test_real_time_is_named_and_can_not_be_moved_by_the_page(page: Page) -> None:
    async with Emulator() as emulator:
        await page.open(f"{emulator.url}/")
        await page.until("document.querySelector('#clock').innerText === 'real time'")
        assert await page.ask("document.querySelector('#clock button')") is None
        assert page.problems == []


async def test_a_workflow_shows_its_steps_and_each_step_leads_back(page: Page, kept: Path) -> None:
    async with Emulator(clock="auto") as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        nodes = {
            "text": {"type": "run", "app": "fal-ai/any-llm", "input": {"prompt": "$input.theme"}},
            "picture": {"type": "run", "app": MODEL, "input": {"prompt": "$text.output"}},
        }
        emulator.workflow("me/story", {"nodes": nodes, "output": {"image": "$picture.images.0.url"}})
        whole = await fal.subscribe("workflows/me/story", {"theme": "sea"})
        await page.open(f"{emulator.url}/")
        await go(
            page, f"requests/{whole.request_id}", "document.querySelectorAll('ol.plain li').length === 2"
        )
        steps = "[...document.querySelectorAll('ol.plain li')].map((one) => one.innerText.split(/\\s+/))"
        assert await page.ask(steps) == [
            ["completed", "text", "fal-ai/any-llm", "$0.001"],
            ["completed", "picture", MODEL, "$0.025"],
        ]
        await shot_of_each_look(page, kept, "6-workflow")
        await page.ask("document.querySelector('ol.plain a').click()")
        await page.until("document.querySelector('.facts')?.innerText.includes('Step of workflow')")
        assert await page.ask("document.querySelector('.facts a').title") == whole.request_id
        assert page.problems == []


async def test_three_moments_of_the_demo_are_shown_as_they_happen(page: Page, kept: Path) -> None:
    size = {"image_size": "landscape_4_3"}
    async with Emulator() as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        await page.open(f"{emulator.url}/")
        others = [await fal.queue.submit(MODEL, {"prompt": f"other {number}"}) for number in range(4)]
        prompt = {
            "prompt": "a lighthouse of glass above a violet sea, at dawn",
            "num_images": 4,
            "sync_mode": True,
        }
        ours = await fal.queue.submit(MODEL, {**prompt, **size})
        await go(page, f"requests/{ours.request_id}", "document.querySelector('.train a')")
        await page.until("document.querySelector('.facts').innerText.includes('Position')")
        await shot_of_each_look(page, kept, "1-waiting")
        await page.until("document.querySelectorAll('.log p').length > 5")
        await shot_of_each_look(page, kept, "2-running")
        await page.until("document.querySelectorAll('figure img').length === 4")
        await page.until("[...document.querySelectorAll('figure img')].every((one) => one.complete)")
        await shot_of_each_look(page, kept, "3-done")
        await asyncio.gather(*(other.wait() for other in others))
    assert page.problems == []


async def test_ten_thousand_requests_stay_quick_to_show_search_and_follow(page: Page, kept: Path) -> None:
    async with Emulator(runners=20) as emulator, aiohttp.ClientSession() as http:
        some = asyncio.Semaphore(50)
        headers = {"Authorization": f"Key {emulator.key}"}

        @emulator.endpoint("me/quick")
        async def quick(input: Any, job: JobContext) -> Any:
            await job.sleep(input["seconds"])
            return input

        async def submit(number: int, seconds: float) -> None:
            input = {"prompt": f"request number {number}", "seconds": seconds}
            async with (
                some,
                http.post(f"{emulator.url}/queue.fal.run/me/quick", json=input, headers=headers) as sent,
            ):
                await sent.read()

        await asyncio.gather(*(submit(number, 0) for number in range(9_900)))
        await page.open(f"{emulator.url}/")
        await page.until(rows(50))
        await page.ask("window.box = document.querySelector('main input[type=search]'); box.focus()")
        await page.call("Input.insertText", text="number 77")
        await page.until("document.querySelector('.pager .where').innerText.endsWith('of 111')")
        await page.ask("box.value = ''; box.dispatchEvent(new Event('input'))")
        await page.until("document.querySelector('.pager .where').innerText.endsWith('of 9,900')")
        frames = (
            "new Promise((done) => { let worst = 0, last = performance.now(), left = 120; const frame = (now) => {"
            " worst = Math.max(worst, now - last); last = now; left -= 1;"
            " if (left) requestAnimationFrame(frame); else done(worst); }; requestAnimationFrame(frame); })"
        )
        submits = asyncio.gather(*(submit(10_000 + number, 3) for number in range(100)))
        worst, _ = await asyncio.gather(page.ask(frames), submits)
        logging.getLogger(__name__).info("the longest frame while 100 requests arrived took %.0f ms", worst)
        await page.until("document.querySelectorAll('.slot.busy').length === 12")
        assert await page.ask("document.querySelectorAll('main *').length") < 2500
        await shot_of_each_look(page, kept, "4-ten-thousand")
        for job in emulator.jobs.values():
            await job.wait_for("COMPLETED")
    assert page.problems == []


@pytest.mark.parametrize("language", ["Python", "JavaScript", "curl"])
async def test_the_program_of_the_page_runs_as_it_stands(
    page: Page, workshop: Path, tmp_path: Path, language: str
) -> None:
    text = 'it\'s "quoted" $HOME `x` \\ é \U0001f30a\n${1}'
    async with Emulator(speed=50) as emulator:
        await page.open(f"{emulator.url}/")
        await go(page, "endpoints/fal-ai/any-llm", "document.getElementById('in-prompt')")
        await page.ask(f"document.getElementById('in-prompt').value = {_js(text)}")
        buttons = "document.querySelectorAll('section[aria-label=\"As a program\"] button')"
        await page.ask(f"[...{buttons}].find((one) => one.innerText === '{language}').click()")
        program = await page.ask(
            "document.querySelector('section[aria-label=\"As a program\"] pre').textContent"
        )
        env = {"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key}
        if language == "JavaScript":
            folder = node_with(workshop)
            (folder / "page_program.mjs").write_text(program, encoding="utf-8")
            said = await output_of("node", "page_program.mjs", env=env, cwd=folder)
        elif language == "Python":
            (tmp_path / "program.py").write_text(program, encoding="utf-8")
            said = await output_of(sys.executable, tmp_path / "program.py", env=env)
        else:
            said = await output_of("sh", "-c", program, env=env)
        [job] = emulator.jobs.values()
        assert job.input["prompt"] == text
        assert re.search("output", said)


def _js(text: str) -> str:
    """Return a text as a literal of JavaScript."""
    import json

    return json.dumps(text)
