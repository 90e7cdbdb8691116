"""The variables of a program that `emulator exec` starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fal_async.emulator.execution.program_environment import REDIRECT, environment
from fal_async.emulator.serving.certificates import Certificates, certificates_in
from fal_async.emulator.wire.routing import FAL_DOMAINS, FAL_HOSTS

URL = "https://127.0.0.1:8765"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return certificates_in(tmp_path, "127.0.0.1", {})


def made(before: dict[str, str], certificates: Certificates, url: str = URL) -> dict[str, str]:
    return environment(
        before, url=url, key="emulator:key", certificates=certificates, folder=certificates.folder, proxy=None
    )


def test_a_users_own_key_and_hosts_are_replaced(certificates: Certificates) -> None:
    own = {
        "FAL_KEY": "own:secret",
        "FAL_KEY_ID": "own",
        "FAL_KEY_SECRET": "secret",
        "FAL_FORCE_AUTH_BY_USER": "1",
    }
    hosts = {
        "FAL_RUN_HOST": "fal.run",
        "FAL_QUEUE_RUN_HOST": "queue.fal.run",
        "FAL_OPENAPI_HOST": "fal.ai",
        "FAL_BASE_URL": "https://fal.run",
    }
    after = made({**own, **hosts, "OTHER": "kept"}, certificates)
    assert after["FAL_KEY"] == "emulator:key"
    assert after["FAL_BASE_URL"] == URL
    assert after["OTHER"] == "kept"
    assert not [name for name, value in after.items() if "own" in value.split(":") or value == "secret"]
    assert not {"FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST", "FAL_OPENAPI_HOST"} & after.keys()


def test_a_nested_program_gets_each_path_once_and_the_port_of_the_inner_emulator(
    certificates: Certificates,
) -> None:
    outer = made({"PYTHONPATH": "/own", "NODE_OPTIONS": "--own", "NO_PROXY": "a.example"}, certificates)
    inner = made(outer, certificates, "https://127.0.0.1:9999")
    for name in ("PYTHONPATH", "NODE_OPTIONS", "NO_PROXY", "no_proxy"):
        assert inner[name] == outer[name]
    assert outer["PYTHONPATH"].endswith(f"{os.pathsep}/own")
    assert outer["NODE_OPTIONS"].endswith(" --own")
    assert outer["NO_PROXY"].startswith("a.example,")
    assert inner[REDIRECT].split()[0] == "9999"


def test_every_host_of_the_emulator_is_below_a_domain_that_is_redirected() -> None:
    for host in FAL_HOSTS:
        assert any(host == domain or host.endswith(f".{domain}") for domain in FAL_DOMAINS), host
