"""The proxy of `emulator exec --proxy`: fal's names lead to the emulator, other hosts are reached as before."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fal_async.emulator.execution.tunnel import Tunnel
from tests.emulator.execution.programs import ran

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(serve: Server) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what arrives until the client has ended its side."""
    writer.write(b"echo: " + await reader.read())
    writer.close()


async def through(url: str, head: str, sent: bytes = b"") -> bytes:
    """Send the head of a request to a proxy, then these bytes, and return all that it answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(f"{head}\r\n\r\n".encode() + sent)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("name", ["queue.fal.run", "FAL.RUN.", "new.fal.media"])
async def test_a_name_of_fal_leads_to_the_emulator_whatever_its_port_is(name: str) -> None:
    async with serving(echo) as port, Tunnel(port, None) as url:
        answer = await through(url, f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}", b"hello")
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\necho: hello"


async def test_another_host_is_reached_directly() -> None:
    async with serving(echo) as port, Tunnel(1, None) as url:
        answer = await through(url, f"CONNECT 127.0.0.1:{port} HTTP/1.1", b"hello")
    assert answer.endswith(b"\r\n\r\necho: hello")


async def test_another_host_is_reached_through_the_users_own_proxy_with_its_password() -> None:
    async with serving(echo) as port, Tunnel(1, f"http://me:p%40ss@127.0.0.1:{port}") as url:
        answer = await through(url, "CONNECT example.com:443 HTTP/1.1", b"hello")
    user = base64.b64encode(b"me:p@ss").decode()
    head = f"CONNECT example.com:443 HTTP/1.1\r\nProxy-Authorization: Basic {user}\r\n\r\n"
    assert answer == b"echo: " + head.encode() + b"hello"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET http://example.com/ HTTP/1.1", b"405"),
        ("CONNECT example.com HTTP/1.1", b"405"),
        ("nonsense", b"405"),
        ("CONNECT 127.0.0.1:1 HTTP/1.1", b"502"),
    ],
)
async def test_a_request_that_is_not_a_tunnel_or_has_no_server_is_refused(head: str, status: bytes) -> None:
    async with Tunnel(1, None) as url:
        assert (await through(url, head)).split()[1] == status


async def test_open_tunnels_end_with_the_proxy() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(silent) as port:
        async with Tunnel(port, None) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"CONNECT fal.run:443 HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


def test_a_proxy_that_is_not_an_http_proxy_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme socks5"):
        Tunnel(1, "socks5://127.0.0.1:1080")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_a_program_that_reads_https_proxy_reaches_the_emulator(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`curl -q` does not read the `.curlrc`, as a program in another language."""
    call = ["curl", "-q", "-sS", "https://api.fal.ai/v1/models?endpoint_id=fal-ai/any-llm"]
    assert (await ran(*call, proxied=True)).status == 0
    assert '"endpoint_id":"fal-ai/any-llm"' in capfd.readouterr().out
