"""`fal-async doctor` against the emulator, without a network, with wrong keys and broken settings."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from fal_async.cli.doctor.doctor_report import document_of, text_of
from fal_async.cli.doctor.key_findings import source_findings
from fal_async.cli.doctor.variable_findings import environment_of, proxy_findings, variable_findings
from fal_async.emulator import Emulator, Fault
from tests.cli.doctor.examined import ROOT, doctor
from tests.servers.loopback import free_port
from tests.servers.raw import answer, raw_server

LONG_KEY = "3f2a91c4-0000-4000-8000-1234567890ab:0123456789abcdef0123456789abcdef"


@pytest.fixture
def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


async def test_report_on_a_healthy_machine_has_no_problems_and_exit_status_0(
    emulator: Emulator, tmp_path: Path
) -> None:
    ledger = tmp_path / "runs.db"
    report = await doctor("--ledger", str(ledger), FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert (report.status, report.err) == (0, "")
    assert report.document["ok"]
    assert report.found("key", "source")["facts"]["source"] == "FAL_KEY"
    assert report.found("key", "known to fal")["state"] == "ok"
    assert "no file yet" in report.found("ledger", "format")["text"]
    assert not ledger.exists()
    assert list(tmp_path.iterdir()) == []
    assert not emulator.jobs


async def test_text_report_has_a_line_for_each_finding_and_a_verdict(emulator: Emulator) -> None:
    report = await doctor("--text", FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert report.status == 0
    assert report.out.startswith("fal-async doctor, ")
    for topic in ("versions", "key", "variables", "proxies", "hosts", "clock", "machine", "extras"):
        assert f"\n\n{topic}\n" in report.out
    assert "127.0.0.1" in report.out


async def test_missing_key_without_a_network_exits_with_3_and_sends_nothing(nowhere: str) -> None:
    report = await doctor(FAL_BASE_URL=nowhere)
    assert report.status == 3
    source = report.found("key", "source")
    assert (source["state"], source["text"]) == ("problem", "no key found")
    assert "https://fal.ai/dashboard/keys" in source["way_out"]


async def test_hosts_that_refuse_connections_are_problems_with_exit_status_1(nowhere: str) -> None:
    report = await doctor(FAL_BASE_URL=nowhere, FAL_KEY=LONG_KEY)
    assert report.status == 1
    assert set(report.states("hosts").values()) == {"problem"}
    assert report.found("key", "known to fal")["text"].startswith("not asked")


async def test_key_that_fal_does_not_know_exits_with_3_and_is_never_printed(emulator: Emulator) -> None:
    secrets = {
        "FAL_KEY": LONG_KEY,
        "FAL_KEY_SECRET": "s3cret-half",
        "FAL_PROXY_TOKEN": "t0ken",
        "HTTPS_PROXY": "http://me:pa55word@proxy.example:3128",
        "FAL_WHATEVER": "hidden-value",
        "FAL_RUN_HOST": "me:pa55word@example.com",
    }
    for text in ([], ["--text"]):
        report = await doctor(*text, FAL_BASE_URL=emulator.url, **secrets)
        assert report.status == 3
        for secret in ("0123456789abcdef", "91c4", "s3cret", "t0ken", "pa55word", "hidden-value"):
            assert secret not in report.out + report.err
        assert "key id 3f2a..." in report.out
        assert "401" in report.out


UUID_KEY = "3f2a91c4-0000-4000-8000-1234567890ab:s3cret"
SHAPES = (
    "{}",
    " '{}' ",
    "FAL_KEY={}",
    "http://{}@proxy.example:1",
    "http://h.example/?key={}",
    "{}\n{}",
    "x{}",
)
NAMES = ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FAL_BASE_URL", "FAL_RUN_HOST", "FAL_LOG", "FAL_HOME_DIR")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "name", [*NAMES, "FAL_OPENAPI_HOST", "FAL_TOKEN", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"]
)
def test_key_in_any_variable_and_shape_is_in_no_finding(name: str, shape: str) -> None:
    variables = {name: shape.replace("{}", UUID_KEY)}
    environment, wrong = environment_of(variables)
    findings = [
        *([] if wrong is None else [wrong]),
        *variable_findings(variables),
        *proxy_findings(environment),
        *source_findings(environment, variables),
    ]
    report = text_of(findings, 0.0) + str(document_of(findings, 0.0))
    assert "s3cret" not in report
    assert "91c4" not in report


async def test_broken_installation_of_aiohttp_is_reported_without_a_traceback(
    emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ImportError('a broken wheel')")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key, PYTHONPATH=path)
    assert (report.status, report.err) == (1, "")
    assert "a broken wheel" in report.found("key", "known to fal")["text"]


@pytest.mark.parametrize("key", ["abc:def", "0123456789abcdef0123456789abcdef", "your-key"])
async def test_short_or_malformed_keys_are_not_printed_in_part(emulator: Emulator, key: str) -> None:
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY=key)
    assert report.status == 3
    assert key[:3] not in report.found("key", "source")["text"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAL_BASE_URL", "127.0.0.1:8000"),
        ("FAL_RUN_HOST", "https://fal.run"),
        ("FAL_BASE_URL", "http://[::1"),
    ],
)
async def test_malformed_host_variable_is_named_and_no_host_is_asked(name: str, value: str) -> None:
    report = await doctor(FAL_KEY=LONG_KEY, **{name: value})
    assert report.status == 1
    wrong = report.found("variables", "hosts")
    assert name in wrong["text"]
    assert wrong["way_out"]
    assert report.states("hosts") == {}


async def test_unknown_log_level_and_misspelt_variable_are_reported(emulator: Emulator) -> None:
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key, FAL_LOG="loud", FAL_KEYS="x")
    assert report.status == 1
    states = report.states("variables")
    assert (states["FAL_LOG"], states["FAL_KEYS"], states["FAL_BASE_URL"]) == ("problem", "warning", "ok")
    assert report.found("variables", "FAL_KEYS")["way_out"] == "did you mean FAL_KEY? Then rename it"


async def test_half_a_key_and_an_ignored_key_are_warnings(emulator: Emulator) -> None:
    report = await doctor(
        FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key, FAL_KEY_ID="id", FAL_FORCE_AUTH_BY_USER="0"
    )
    assert "FAL_KEY_ID, because FAL_KEY is set" in report.found("key", "ignored")["text"]
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY_ID="id")
    assert "FAL_KEY_SECRET is not set" in report.found("key", "ignored")["text"]
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key, FAL_FORCE_AUTH_BY_USER="1")
    assert report.status == 3
    assert "FAL_FORCE_AUTH_BY_USER" in report.found("key", "ignored")["text"]


async def test_login_that_cannot_be_read_exits_with_3_and_an_unknown_log_level_does_not_hide_it(
    emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "auth0_token").mkdir()
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_HOME_DIR=str(tmp_path), FAL_LOG="loud")
    assert report.status == 3
    assert report.found("key", "source")["text"] == "the login of fal's command line"
    assert "can't be read" in report.found("key", "known to fal")["text"]


async def test_login_of_the_command_line_is_asked_about_like_a_key(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.add_login("refresh-1")
    (tmp_path / "auth0_token").write_text("refresh-1")
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_HOME_DIR=str(tmp_path))
    assert report.status == 0
    assert report.found("key", "known to fal")["state"] == "ok"
    assert report.found("key", "scope")["facts"] == {"scope": "ADMIN"}


async def test_account_without_balance_exits_with_3_and_says_where_to_top_up(emulator: Emulator) -> None:
    emulator.faults.add(Fault.balance(on="status"))
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert report.status == 3
    assert "billing" in report.found("key", "known to fal")["way_out"]


async def test_scope_of_the_key_is_reported_and_an_empty_balance_is_a_problem() -> None:
    async with Emulator(speed=50, balance="0") as emulator:
        admin = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.admin_key)
        api = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert (admin.status, api.status) == (3, 0)
    assert admin.found("key", "scope")["facts"] == {"scope": "ADMIN"}
    assert "no balance" in admin.found("key", "scope")["text"]
    assert api.found("key", "scope")["facts"] == {"scope": "API"}


async def test_server_that_answers_404_in_another_form_does_not_pass_for_fal() -> None:
    async with raw_server(lambda _: answer({"detail": "Not Found"}, 404)) as url:
        report = await doctor(FAL_BASE_URL=url, FAL_KEY=LONG_KEY)
    assert report.status == 1
    assert "is not fal's" in report.found("key", "known to fal")["text"]


async def test_server_that_answers_the_key_check_with_500_is_a_warning(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(500, on="status"))
    report = await doctor(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert report.status == 0
    assert report.found("key", "known to fal")["state"] == "warning"
    assert emulator.count("status") == 1


async def test_reader_that_is_gone_ends_the_command_with_one_line(emulator: Emulator) -> None:
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "fal_async", "doctor"),
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key},
        stdout=write,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(write)
    _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode() == "fal-async doctor: the reader of standard output is gone\n"
