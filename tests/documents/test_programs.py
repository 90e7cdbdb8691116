"""The whole programs of the documents: a service under uvicorn, and a batch script that is interrupted."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from fal_async.emulator import Emulator, JobContext
from tests.documents.code_blocks import Block, blocks_of, environment, javascript_of
from tests.documents.engines import programs
from tests.documents.test_recipes import output_of
from tests.servers.loopback import free_port
from tests.servers.serving import serving
from tests.servers.tunnel import tunnel

SERVICE, SCRIPT = "fal_async/integrations/SERVICE.md", "fal_async/batch/SCRIPT.md"
BLOCKS = {**blocks_of(SERVICE, "service"), **blocks_of(SCRIPT, "batch")}
WHOLE = [*BLOCKS.values(), *programs.BLOCKS.values()]
LONGEST = 120
"""Lines: as much as one is glad to copy."""
ANNA, BEN = "Bearer token-of-anna", "Bearer token-of-ben"


@pytest.mark.parametrize("block", WHOLE, ids=str)
def test_a_program_is_short(block: Block) -> None:
    assert len(block.code.splitlines()) <= LONGEST


# The service.


@attrs.frozen
class Client:
    """Somebody who calls the service."""

    http: aiohttp.ClientSession
    url: str = ""

    async def post(
        self, path: str, order: Mapping[str, Any], *, key: str | None = "order-1", user: str = ANNA
    ) -> tuple[int, Any]:
        named = {} if key is None else {"Idempotency-Key": key}
        async with self.http.post(path, json=order, headers={"Authorization": user, **named}) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, *, user: str = ANNA) -> tuple[int, Any]:
        async with self.http.get(path, headers={"Authorization": user}) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def client(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Client]:
    """The service of the document under uvicorn, behind a tunnel through which the emulator delivers."""
    async with tunnel() as (public_url, lead_to):
        variables = {"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key}
        for name, value in {**variables, "PUBLIC_URL": public_url, "DATA": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        module: dict[str, Any] = {"__name__": "service"}
        exec(compile(BLOCKS["service"].program, "service.py", "exec", dont_inherit=True), module)
        async with serving(module["app"]) as server, aiohttp.ClientSession(server.url) as http:
            lead_to(server.url)
            yield Client(http, server.url)


async def test_a_repeated_order_is_paid_for_once_and_shared_with_no_other_user(
    client: Client, emulator: Emulator
) -> None:
    first = await client.post("/pictures", {"prompt": "a cat"})
    assert first[0] == 200
    (image,) = first[1]["images"]
    assert image["url"].startswith(emulator.url)
    assert (first[1].keys(), image.keys()) == ({"images"}, {"url"})
    assert await client.post("/pictures", {"prompt": "a cat"}) == first
    assert emulator.count("submit") == 1
    status, conflict = await client.post("/pictures", {"prompt": "a dog"})
    assert (status, conflict["error"]) == (422, "KeyConflictError")
    assert (await client.post("/pictures", {"prompt": "a cat"}, user=BEN))[1] != first[1]
    assert emulator.count("submit") == 2


@pytest.mark.parametrize(
    ("order", "key", "user", "status"),
    [
        ({"prompt": "a cat"}, None, ANNA, 400),
        ({"prompt": "a cat"}, "order-1", "Bearer guessed", 401),
        ({"prompt": ""}, "order-1", ANNA, 422),
        ({"prompt": "a cat", "num_images": 9}, "order-1", ANNA, 422),
    ],
    ids=["no key", "unknown user", "no prompt", "too many images"],
)
async def test_a_wrong_order_is_refused_before_anything_is_paid(
    client: Client, emulator: Emulator, order: dict[str, Any], key: str | None, user: str, status: int
) -> None:
    assert (await client.post("/pictures", order, key=key, user=user))[0] == status
    assert emulator.count("submit") == 0


async def test_an_output_that_does_not_fit_the_response_model_is_a_502_without_its_values(
    client: Client, emulator: Emulator
) -> None:
    output: dict[str, Any] = {"images": [{"url": "secret"}]}

    @emulator.endpoint("fal-ai/flux/schnell")
    async def other(_: Any) -> Any:
        return output

    status, answer = await client.post("/pictures", {"prompt": "a cat"})
    assert (status, answer["detail"], answer["error"]) == (502, "The model could not answer", "FalError")
    assert "secret" not in json.dumps(answer)


async def test_the_schema_of_the_service_describes_its_models(client: Client) -> None:
    _, schema = await client.get("/openapi.json")
    post = schema["paths"]["/pictures"]["post"]
    models = (
        post["requestBody"]["content"]["application/json"]["schema"]["$ref"],
        post["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
    )
    assert models == ("#/components/schemas/Order", "#/components/schemas/Pictures")


async def test_a_browser_that_left_the_live_progress_gets_the_same_request_again(
    client: Client, emulator: Emulator
) -> None:
    headers = {"Authorization": ANNA, "Idempotency-Key": "order-1"}
    live = client.http.post("/pictures/live", json={"prompt": "a cat"}, headers=headers)
    async with live as answer:
        while b"event: update" not in await answer.content.readline():
            pass
    again = client.http.post("/pictures/live", json={"prompt": "a cat"}, headers=headers)
    async with again as answer:
        *_, last = (await answer.text()).strip().split("\n\n")
    (request_id,) = emulator.jobs
    assert "event: result" in last
    assert request_id in last
    assert emulator.count("cancel") == 0


PAGE = """
const [token, orderId] = ["token-of-anna", "order-1"];
const seen = { statuses: [], pictures: [], errors: [] };
const showProgress = (update) => seen.statuses.push(update.status);
const showPicture = (url) => seen.pictures.push(url);
const showError = (detail) => seen.errors.push(detail);
%s
console.log(JSON.stringify(seen));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_the_script_of_the_page_shows_progress_and_the_picture(
    client: Client, emulator: Emulator, tmp_path: Path
) -> None:
    absolute = javascript_of(SERVICE).replace('"/pictures/live"', json.dumps(f"{client.url}/pictures/live"))
    (tmp_path / "page.mjs").write_text(PAGE % absolute)
    out, _ = await output_of("node", "page.mjs", cwd=tmp_path)
    seen = json.loads(out)
    assert seen["statuses"][-1] == "COMPLETED"
    assert seen["pictures"][0].startswith(emulator.url)
    assert (len(seen["pictures"]), seen["errors"]) == (1, [])


async def test_a_result_by_webhook_is_stored_and_a_forged_delivery_is_refused(
    client: Client, emulator: Emulator
) -> None:
    status, accepted = await client.post("/pictures/later", {"prompt": "a cat"})
    assert status == 202
    (attempt,) = await emulator.webhooks.wait_for(1)
    assert attempt.status == 200
    place = f"/pictures/{accepted['request_id']}"
    status, output = await client.get(place)
    assert output["images"][0]["url"].startswith(emulator.url)
    assert (await client.get(place, user="Bearer guessed"))[0] == 401
    forged = await emulator.webhooks.deliver(accepted["request_id"], body=b"{}")
    assert forged.status == 401
    assert (await client.get("/pictures/00000000-0000-4000-8000-000000000000"))[0] == 404


async def test_errors_of_the_account_are_not_shown_and_health_tells_of_a_refused_key(
    client: Client, emulator: Emulator
) -> None:
    assert await client.get("/health?deep=true") == (200, {"status": "ok"})
    emulator.lock_account()
    status, answer = await client.post("/pictures", {"prompt": "a cat"})
    assert (status, answer["detail"], answer["error"]) == (502, "The model could not answer", "FalError")
    emulator.unlock_account()
    emulator.rotate_key("other:key")
    assert (await client.get("/health"))[0] == 200
    assert await client.get("/health?deep=true") == (503, {"detail": "fal refuses the key"})


@asynccontextmanager
async def service_process(
    folder: Path, emulator: Emulator, port: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service in a process of its own, once it answers. It is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "uvicorn", "service:app", "--port", str(port)),
        *("--log-level", "warning"),
        cwd=folder,
        env=environment(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key),
    )
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            while True:
                try:
                    async with http.get("/health"):
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_service_that_was_killed_takes_up_its_order_again(emulator: Emulator, tmp_path: Path) -> None:
    release = asyncio.Event()

    @emulator.endpoint("fal-ai/flux/schnell")
    async def slow(input: Any, job: JobContext) -> Any:
        await release.wait()
        return {"images": [await job.file(b"picture", "image/png", "cat.png")]}

    (tmp_path / "service.py").write_text(BLOCKS["service"].program)
    port = free_port()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with service_process(tmp_path, emulator, port):
            asked = asyncio.ensure_future(Client(http).post("/pictures", {"prompt": "a cat"}))
            await emulator.wait_for("status", timeout=20)
        with pytest.raises(aiohttp.ClientError):
            await asked
        async with service_process(tmp_path, emulator, port):
            release.set()
            status, answer = await Client(http).post("/pictures", {"prompt": "a cat"})
    assert status == 200
    assert answer["images"][0]["url"].startswith(emulator.url)
    assert emulator.count("submit") == 1


# The batch script.

PROMPTS = 20
WITH_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""The first line of the script: tests that run in the background ignore SIGINT, and their children inherit that."""


def write_inputs(folder: Path, inputs: Sequence[Mapping[str, Any]]) -> None:
    (folder / "prompts.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in inputs))


async def start(
    folder: Path, emulator: Emulator, *arguments: str, key: str = ""
) -> asyncio.subprocess.Process:
    (folder / "pictures.py").write_text(WITH_SIGINT + BLOCKS["batch"].program)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "pictures.py", *(arguments or ("prompts.jsonl", "out"))),
        cwd=folder,
        env=environment(FAL_BASE_URL=emulator.url, FAL_KEY=key or emulator.key),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Exit status, standard output, standard error."""
    out, err = await asyncio.wait_for(process.communicate(), 50)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else "",
)
async def test_a_script_that_is_interrupted_and_run_again_is_billed_once_for_each_input(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    lines = [
        json.dumps({"prompt": f"planet {place}", "image_size": {"width": 64, "height": 64}})
        for place in range(PROMPTS)
    ]
    lines.append(json.dumps({"prompt": "refused", "num_images": 9}))
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    async with Emulator(speed=4, plain_pictures=True) as emulator:
        process = await start(tmp_path, emulator)
        await emulator.wait_for("result", 3, timeout=40)
        process.send_signal(number)
        assert (await end_of(process))[0] == status
        assert 3 <= billed(emulator) < PROMPTS

        again, out, err = await end_of(await start(tmp_path, emulator))
        assert again == 1, err
        assert "20 done, 1 failed, 0 uncertain, 0 unfinished" in out
        assert "20 units billed" in out
        assert "Input should be less than or equal to 4" in out
        assert billed(emulator) == PROMPTS
        submits = emulator.count("submit")
        assert (await end_of(await start(tmp_path, emulator)))[0] == 1
        assert emulator.count("submit") == submits  # what is done, and what failed, stays so
    pictures = [path for path in (tmp_path / "out").iterdir() if path.suffix == ".png"]
    assert len(pictures) == PROMPTS
    assert len((tmp_path / "out" / "report.csv").read_text().splitlines()) == 1 + PROMPTS + 1


def billed(emulator: Emulator) -> int:
    """Jobs that ran to a result."""
    return sum(job.answer is not None and job.answer.status == 200 for job in emulator.jobs.values())


@pytest.mark.parametrize(
    ("arguments", "key", "status", "said"),
    [
        (("missing.jsonl", "out"), "", 2, "missing.jsonl: No such file"),
        ((), "wrong:key", 3, "stopped: 401"),
    ],
    ids=["a missing file", "a wrong key"],
)
async def test_a_script_that_can_not_run_says_why_and_costs_nothing(
    emulator: Emulator, tmp_path: Path, arguments: tuple[str, ...], key: str, status: int, said: str
) -> None:
    write_inputs(tmp_path, [{"prompt": "a cat"}])
    code, _, err = await end_of(await start(tmp_path, emulator, *arguments, key=key))
    assert code == status
    assert said in err
    assert not emulator.jobs


async def test_a_script_stops_where_more_than_a_fifth_of_the_inputs_fails(
    emulator: Emulator, tmp_path: Path
) -> None:
    write_inputs(tmp_path, [{"prompt": f"planet {place}", "num_images": 9} for place in range(100)])
    code, _, err = await end_of(await start(tmp_path, emulator, "prompts.jsonl", "out", "--concurrency", "5"))
    assert code == 3
    assert "stopped: " in err
    assert len(emulator.jobs) < 60
