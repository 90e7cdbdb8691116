"""`--app`: functions that take the emulator, ASGI applications, and what is said if there is neither."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from fal_async.emulator.serving.own_endpoints import add_app

MODULE = "the_shop_of_a_test"
SOURCE = """
def endpoints(emulator):
    @emulator.endpoint("me/hats")
    async def hats(input):
        return {"hats": input["count"]}

class Inner:
    endpoints = staticmethod(endpoints)

async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a hat"})

async def late(emulator): ...
number = 1
"""


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    (tmp_path / f"{MODULE}_broken.py").write_text("import not_installed_here")
    (tmp_path / f"{MODULE}_wrong.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield Emulator()
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith(MODULE)]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["endpoints", "Inner.endpoints"])
async def test_a_function_of_the_current_folder_registers_endpoints(emulator: Emulator, name: str) -> None:
    add_app(emulator, f"{MODULE}:{name}")
    async with emulator:
        assert await _posted(emulator, "me/hats", b'{"count": 2}') == (200, b'{"hats":2}')


async def test_an_asgi_application_is_mounted_under_its_id(emulator: Emulator) -> None:
    add_app(emulator, f"me/app={MODULE}:application")
    async with emulator:
        assert await _posted(emulator, "me/app/x", b"{}") == (200, b"a hat")


async def _posted(emulator: Emulator, endpoint_id: str, body: bytes) -> tuple[int, bytes]:
    import aiohttp

    headers = {"Authorization": f"Key {emulator.key}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{emulator.url}/fal.run/{endpoint_id}", data=body) as answer,
    ):
        return answer.status, await answer.read()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("shop", "expected [ID=]module:name"),
        (":endpoints", "expected [ID=]module:name"),
        ("no_such_module_here:x", "there is no module no_such_module_here, neither in"),
        (f"{MODULE}:endpoint", f"{MODULE} has no endpoint: did you mean endpoints?"),
        (f"{MODULE}_broken:x", "imports not_installed_here, which is not installed"),
        (f"{MODULE}_wrong:x", "raised ZeroDivisionError: division by zero"),
        (f"{MODULE}:application", f"needs an id: --app me/my-app={MODULE}:application"),
        (f"{MODULE}:number", "expected a function that takes the emulator"),
        (f"{MODULE}:late", "expected a function that takes the emulator"),
        (f"wrong id={MODULE}:application", "is not an app id"),
    ],
)
def test_a_wrong_app_is_reported_with_the_way_out(emulator: Emulator, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        add_app(emulator, text)
    assert told in str(caught.value)
