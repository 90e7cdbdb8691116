"""The certificates of `--tls`: their names, their files, and when they are made again."""

from __future__ import annotations

import json
import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from fal_async.emulator import Emulator
from fal_async.emulator.serving.announcement import announcement, document, snippets
from fal_async.emulator.serving.certificates import Certificates, certificates_in


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return certificates_in(tmp_path / "tls", "127.0.0.1", {})


async def test_a_client_that_trusts_the_bundle_reaches_the_emulator_by_name_and_address(
    certificates: Certificates,
) -> None:
    trust = ssl.create_default_context(cafile=certificates.bundle)
    trust.verify_flags |= ssl.VERIFY_X509_STRICT  # as in Python 3.13 and later
    async with Emulator(ssl=certificates.context()) as emulator, aiohttp.ClientSession() as http:
        for name in (None, "localhost", "fal.localhost", "queue.fal.run", "fal.ai", "new.fal.media"):
            async with http.get(emulator.url, ssl=trust, server_hostname=name) as answer:
                assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(emulator.url, ssl=trust, server_hostname="example.com")


def test_the_private_key_can_be_read_by_its_owner_only_and_the_authoritys_is_not_written(
    certificates: Certificates,
) -> None:
    assert stat.S_IMODE(certificates.server.stat().st_mode) == 0o600
    keys = [path for path in certificates.folder.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == [certificates.server]


def test_certificates_of_a_folder_are_used_again_unless_a_name_is_missing(certificates: Certificates) -> None:
    before = certificates.server.read_bytes()
    certificates_in(certificates.folder, "127.0.0.1", {})
    assert certificates.server.read_bytes() == before
    certificates_in(certificates.folder, "192.0.2.7", {})
    assert certificates.server.read_bytes() != before


@pytest.mark.parametrize("content", [b"", b"not a certificate"])
def test_a_damaged_certificate_is_made_again(certificates: Certificates, content: bytes) -> None:
    certificates.authority.write_bytes(content)
    certificates_in(certificates.folder, "127.0.0.1", {})
    ssl.create_default_context(cafile=certificates.authority)
    certificates.context()


def test_certificates_that_the_user_trusts_stay_in_the_bundle(
    certificates: Certificates, tmp_path: Path
) -> None:
    own = {"REQUESTS_CA_BUNDLE": str(certificates.authority), "CURL_CA_BUNDLE": str(tmp_path / "missing")}
    other = certificates_in(tmp_path / "other", "127.0.0.1", own)
    assert certificates.authority.read_text() in other.bundle.read_text()
    assert other.authority.read_text() in other.bundle.read_text()


async def test_the_exports_that_are_printed_let_fal_client_run_unchanged(certificates: Certificates) -> None:
    program = 'import fal_client; print(fal_client.subscribe("fal-ai/any-llm", {"prompt": "hi"})["output"])'
    async with Emulator(speed=50, ssl=certificates.context()) as emulator:
        exports = snippets(emulator, certificates)["fal-client (Python)"]
        assert announcement(emulator, certificates).count(exports) == 1
        shown = json.loads(document(emulator, certificates))
        assert shown["ca"] == str(certificates.authority)
        assert await _output(f"{exports}; {sys.executable} -c '{program}'")
        assert emulator.count("submit") == 1


@pytest.mark.parametrize(
    ("client", "tls"), [("fal_async, and fal-async in a shell", True), ("curl", False), ("curl", True)]
)
async def test_what_is_printed_for_a_shell_works_as_it_stands(
    certificates: Certificates, client: str, tls: bool
) -> None:
    async with Emulator(speed=50, ssl=certificates.context() if tls else None) as emulator:
        line = snippets(emulator, certificates if tls else None)[client]
        if client != "curl":
            line += f"; {sys.executable} -m fal_async run fal-ai/any-llm prompt=hi"
        assert "output" in await _output(line) or client != "curl"
        assert emulator.count("run") == 1


async def _output(line: str) -> str:
    import asyncio

    program = await asyncio.create_subprocess_shell(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    return out.decode()
