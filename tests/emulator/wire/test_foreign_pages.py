"""Pages of other origins on `/_emulator`: a browser lets them send what forms can send, but not read answers."""

from __future__ import annotations

import json
import re

import pytest

from fal_async.emulator.wire.foreign_pages import foreign_page
from tests.emulator.caller import Caller

HOST = {"Host": "127.0.0.1:8765"}
FOREIGN = {
    "another site": {"Origin": "https://evil.example"},
    "another port": {"Origin": "http://127.0.0.1:3000"},
    "another name of this machine": {"Origin": "http://localhost:8765"},
    "a frame without an origin": {"Origin": "null"},
    "an empty origin": {"Origin": ""},
    "another site by Sec-Fetch-Site": {"Sec-Fetch-Site": "cross-site"},
    "another port by Sec-Fetch-Site": {"Sec-Fetch-Site": "same-site"},
    "another site that claims this origin": {
        "Origin": "http://127.0.0.1:8765",
        "Sec-Fetch-Site": "cross-site",
    },
    "a form of text": {"Content-Type": "text/plain"},
    "a form of text with a charset": {"Content-Type": "Text/Plain; charset=utf-8"},
    "a multipart form": {"Content-Type": "multipart/form-data; boundary=x"},
    "a name that points here": {"Host": "evil.example:8765"},
    "a name that points here, with its own origin": {
        "Host": "evil.example:8765",
        "Origin": "http://evil.example:8765",
    },
    "a name with a dot at its end": {"Host": "evil.example."},
    "an address within a name": {"Host": "127.0.0.1.evil.example:8765"},
    "localhost within a name": {"Host": "localhost.evil.example"},
    "a name that ends as a private one does": {"Host": "evil-internal.example"},
}
OWN = {
    "no browser": {},
    "curl -d": {"Content-Type": "application/x-www-form-urlencoded"},
    "JSON": {"Content-Type": "application/json"},
    "its own page": {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"},
    "its own page with TLS": {"Origin": "https://127.0.0.1:8765"},
    "a URL that was typed": {"Sec-Fetch-Site": "none"},
    "localhost": {"Host": "localhost:8765", "Origin": "http://localhost:8765"},
    "a name below localhost": {"Host": "fal.localhost:8765"},
    "IPv6": {"Host": "[::1]:8765", "Origin": "http://[::1]:8765"},
    "a container's name": {"Host": "emulator:8765"},
    "the host of a container": {"Host": "host.docker.internal:8765"},
    "an address in the network": {"Host": "192.168.1.2"},
    "no host": {"Host": ""},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_request_of_a_foreign_page_is_recognized(name: str) -> None:
    assert foreign_page({**HOST, **FOREIGN[name]})


@pytest.mark.parametrize("name", OWN)
def test_a_request_of_a_program_or_the_emulators_own_page_is_accepted(name: str) -> None:
    assert foreign_page({**HOST, **OWN[name]}) is None


async def routes(caller: Caller) -> list[tuple[str, str]]:
    """Return all admin routes, which the 404 for an unknown one lists."""
    listed = (await caller.get("/_emulator/no-such-thing", headers={})).data["detail"]
    found = re.findall(r"([A-Z]+) (/_emulator[a-z/*]*)", listed)
    assert ("POST", "/_emulator/key") in found
    assert len(found) > 15
    # The files of the page have no data, so other pages may link to them.
    return [(method, path) for method, path in found if path != "/_emulator/page/*"]


@pytest.mark.parametrize("name", FOREIGN)
async def test_no_admin_route_serves_a_foreign_page(caller: Caller, name: str) -> None:
    emulator, headers = caller.emulator, FOREIGN[name]
    key = emulator.key
    body = json.dumps({"key": "a:b", "kind": "reset", "seconds": 60, "seed": 1, "automatic": False})
    for method, path in await routes(caller):
        answer = await caller.call(
            method, path, headers={"Content-Type": "application/json", **headers}, data=body
        )
        assert answer.status == 403
        assert "other origins" in answer.data["detail"]
    assert (emulator.key, len(emulator.faults), emulator.webhooks.automatic) == (key, 0, True)


@pytest.mark.parametrize(
    "headers",
    [OWN["its own page with TLS"], OWN["a URL that was typed"]],
    ids=["own page with TLS", "typed URL"],
)
async def test_the_emulators_own_page_and_programs_may_change_the_key(
    caller: Caller, headers: dict[str, str]
) -> None:
    own = {name: caller.emulator.url if name == "Origin" else value for name, value in headers.items()}
    answer = await caller.call("POST", "/_emulator/key", headers=own, json={"key": "new:key"})
    assert (answer.status, caller.emulator.key) == (200, "new:key")
