"""Probes of hosts over real sockets: times, TLS, proxies, clocks, and each step that can fail."""

from __future__ import annotations

import asyncio
import ssl
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from fal_async.cli.doctor.finding import Finding, State
from fal_async.cli.doctor.host_probe import HostProbe, probe
from fal_async.cli.doctor.network_findings import network_findings
from fal_async.transport.http_proxies import DIRECT, Route
from tests.cli.doctor.examined import doctor
from tests.emulator.certificates import authority, client_side, server_side
from tests.servers.connect_proxy import connect_proxy
from tests.servers.loopback import crowded_port, free_port, port_of
from tests.servers.raw import Asked, answer, raw_server

LIMIT = 20.0


def nothing_here(_: Asked) -> bytes:
    return answer({"status": "NOT_FOUND"}, 404, date=formatdate(usegmt=True))


async def seen(origin: str, route: Route = DIRECT, *, trust: ssl.SSLContext | None = None) -> HostProbe:
    return await probe(origin, ("queue",), route, trust or client_side(), LIMIT)


def findings(*probes: HostProbe) -> dict[str, Finding]:
    return {each.name: each for each in network_findings(probes, time.time())}


async def test_plain_host_is_reached_without_a_key_and_with_times_of_each_step(no_tasks_left: None) -> None:
    asked: list[Asked] = []

    def answering(request: Asked) -> bytes:
        asked.append(request)
        return nothing_here(request)

    async with raw_server(answering) as url:
        found = await seen(url)
    assert (found.failed_at, found.status, found.addresses) == (None, 404, ("127.0.0.1",))
    assert None not in (found.look_up, found.connect, found.answer)
    assert found.secure is None
    assert [(request.method, request.path) for request in asked] == [("HEAD", "/")]
    assert "authorization" not in asked[0].headers
    assert findings(found)["queue"].state is State.OK


async def test_certificate_of_a_trusted_host_is_reported_with_issuer_and_expiry(no_tasks_left: None) -> None:
    async with raw_server(nothing_here, server_side()) as url:
        found = await seen(url)
    assert (found.failed_at, found.status) == (None, 404)
    assert str(found.tls).startswith("TLSv1.")
    assert found.certificate is not None
    assert (found.certificate.issuer, found.certificate.is_trusted) == ("trustme v1.2.1", True)
    assert findings(found)["TLS of queue"].state is State.OK


async def test_untrusted_certificate_is_a_problem_that_names_its_issuer(no_tasks_left: None) -> None:
    async with raw_server(nothing_here, server_side()) as url:
        found = await seen(url, trust=ssl.create_default_context())
    assert found.failed_at == "tls"
    assert found.certificate is not None
    assert not found.certificate.is_trusted
    problem = findings(found)["queue"]
    assert problem.state is State.PROBLEM
    assert "issued by trustme" in problem.text
    assert "SSL_CERT_FILE" in str(problem.way_out)


async def test_proxy_with_a_password_tunnels_and_is_named_without_it(no_tasks_left: None) -> None:
    async with (
        raw_server(nothing_here, server_side()) as url,
        connect_proxy(port_of(url)) as proxy,
    ):
        found = await seen("https://queue.fal.run", Route(proxy=proxy.url, named_by="HTTPS_PROXY"))
        assert proxy.asked[0].startswith("connect queue.fal.run:443 ")
        assert "proxy-authorization: basic " in proxy.asked[0]
    assert (found.failed_at, found.status) == (None, 404)
    assert found.proxy == f"127.0.0.1:{port_of(proxy.url)}"
    assert "s3cret" not in findings(found)["queue"].text


async def test_proxy_that_is_reached_by_tls_tunnels_another_tls_connection(no_tasks_left: None) -> None:
    async with (
        raw_server(nothing_here, server_side()) as url,
        connect_proxy(port_of(url), tls=server_side()) as proxy,
    ):
        found = await seen("https://queue.fal.run", Route(proxy=proxy.url))
    assert (found.failed_at, found.error, found.status) == (None, "", 404)


async def test_proxy_that_reads_tls_of_fal_is_a_warning_that_names_the_issuer(no_tasks_left: None) -> None:
    async with (
        raw_server(nothing_here, server_side()) as url,
        connect_proxy(port_of(url)) as proxy,
    ):
        found = await seen("https://queue.fal.run", Route(proxy=proxy.url))
    warning = findings(found)["TLS of queue"]
    assert warning.state is State.WARNING
    assert "issued by trustme" in warning.text


async def test_proxy_that_refuses_the_tunnel_is_a_problem_with_its_status(no_tasks_left: None) -> None:
    async with connect_proxy(0, refuses="407 X") as proxy:
        found = await seen("https://queue.fal.run", Route(proxy=proxy.url))
    assert found.failed_at == "proxy"
    assert "407" in found.error


async def test_plain_host_behind_a_proxy_is_asked_by_its_whole_url(no_tasks_left: None) -> None:
    asked: list[Asked] = []

    def as_proxy(request: Asked) -> bytes:
        asked.append(request)
        return nothing_here(request)

    async with raw_server(as_proxy) as url:
        found = await seen("http://fal.example", Route(proxy=url))
    assert (found.failed_at, asked[0].path) == (None, "http://fal.example/")


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nDate: never\r\n\r\n"])
async def test_answers_that_are_not_http_or_have_no_date_never_raise(
    said: bytes, no_tasks_left: None
) -> None:
    def answering(_: Asked) -> bytes:
        if not said:
            raise ConnectionAbortedError
        return said

    async with raw_server(answering) as url:
        found = await seen(url)
    assert found.failed_at == (None if said.startswith(b"HTTP") else "answer")
    assert found.clock_ahead is None
    assert findings(found)["clock"].state is State.WARNING


async def test_port_without_a_server_and_unknown_name_fail_at_their_steps(no_tasks_left: None) -> None:
    assert (await seen(f"http://127.0.0.1:{free_port()}")).failed_at == "connect"
    assert (await seen("https://fal.invalid")).failed_at == "name"


async def test_probe_of_a_host_that_never_accepts_ends_at_its_limit(no_tasks_left: None) -> None:
    with crowded_port() as port:
        found = await probe(f"http://127.0.0.1:{port}", ("queue",), DIRECT, client_side(), 0.05)
    assert found.failed_at == "connect"
    assert found.error == "no answer within 0.05 s"


async def test_cancelled_probe_leaves_no_connection_and_no_task(no_tasks_left: None) -> None:
    reached, silent = asyncio.Event(), asyncio.Event()

    async def never(_: Asked) -> bytes:
        reached.set()
        await silent.wait()
        return b""

    async with raw_server(never) as url:
        task = asyncio.ensure_future(seen(url))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("ahead", "state"), [(0, State.OK), (-20, State.OK), (90, State.WARNING), (-4000, State.PROBLEM)]
)
def test_difference_to_the_servers_clocks_is_judged_by_its_size(ahead: float, state: State) -> None:
    probes = [
        HostProbe(origin=f"http://h{n}", services=("queue",), answer=0.1, clock_ahead=ahead + n)
        for n in (-0.4, 0.0, 9.0)
    ]
    clock = findings(*probes)["clock"]
    assert clock.state is state
    assert clock.facts["ahead_seconds"] == ahead


def test_certificate_that_expires_soon_is_a_warning() -> None:
    from fal_async.cli.doctor.certificate import Certificate

    soon = HostProbe(
        origin="https://fal.run",
        services=("run",),
        answer=0.1,
        tls="TLSv1.3",
        certificate=Certificate(issuer="Let's Encrypt", expires=time.time() + 86400 * 3.5),
    )
    warning = findings(soon)["TLS of run"]
    assert (warning.state, warning.facts["expires_in_days"]) == (State.WARNING, 3)


async def test_command_behind_a_proxy_that_reads_tls_asks_about_the_key_through_it(tmp_path: Path) -> None:
    authority_file = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(authority_file)
    async with (
        raw_server(nothing_here, server_side()) as url,
        connect_proxy(port_of(url)) as proxy,
    ):
        report = await doctor(
            FAL_KEY="3f2a91c4-0000-4000-8000-1234567890ab:0123456789abcdef",
            HTTPS_PROXY=proxy.url,
            SSL_CERT_FILE=str(authority_file),
        )
    assert report.found("hosts", "TLS of queue")["state"] == "warning"
    assert report.found("key", "known to fal")["state"] == "ok"
    assert report.found("proxies", "HTTPS_PROXY")["text"].endswith(" with a user")
    assert "s3cret" not in report.out


async def test_proxy_variable_that_is_not_an_http_proxy_is_a_problem_and_not_shown() -> None:
    report = await doctor(FAL_KEY="id:secret", ALL_PROXY="socks5://me:s3cret@127.0.0.1:1080")
    assert report.status == 1
    assert report.states("proxies") == {"ALL_PROXY": "problem"}
    assert set(report.states("hosts").values()) == {"problem"}
    assert "s3cret" not in report.out
