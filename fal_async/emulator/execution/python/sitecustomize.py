"""Python imports this module when a program of `emulator exec` starts: fal's host names lead to the emulator.

The program may run on another Python, without this package, so the module uses the standard library only, and no
syntax of newer versions. A name of fal resolves to `PLACE`, an address of this machine that is never connected to,
because some libraries keep only the address of an answer, and use the port that they asked for. A connection to
`PLACE` becomes one to the emulator's port. TLS still checks the certificate against fal's name.
"""

from __future__ import annotations

import _socket
import importlib.util
import os
import socket
import sys
from importlib.machinery import ModuleSpec, PathFinder

TYPE_CHECKING = (
    False  # as in `typing`, which is not loaded, because each Python process would take longer to start
)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any

PLACE = "127.70.65.76"
VARIABLE = "FAL_EMULATOR_EXEC"
"""Its value is the port of the emulator and fal's domains: `8765 fal.run fal.ai`."""


_endings: tuple[str, ...] = ()
_port = 0


def redirect(port: int, domains: Sequence[str]) -> None:
    """Lead the names of `domains`, and all names below them, to this port of this machine."""
    global _port, _endings
    _port, _endings = port, tuple("." + domain for domain in domains)
    redirect_connections(socket.socket)
    for module in (socket, _socket):  # gevent uses the second one
        redirect_names(module, "getaddrinfo", "gethostbyname", "gethostbyname_ex")
    sys.meta_path.insert(0, LateRedirect())


def is_fals(host: Any) -> bool:
    """Return whether a host name, a `str` or `bytes`, is one of fal's."""
    try:
        name = host.decode("ascii") if isinstance(host, (bytes, bytearray)) else host
    except UnicodeDecodeError:
        return False
    return isinstance(name, str) and ("." + name.rstrip(".").lower()).endswith(_endings)


def redirect_names(place: Any, *names: str) -> None:
    """Let functions of a module resolve fal's names to `PLACE`."""
    for name in names:
        setattr(place, name, _resolving(getattr(place, name)))


def redirect_connections(socket_class: Any) -> None:
    """Let the sockets of a class connect to the emulator in place of fal."""
    for name in ("connect", "connect_ex"):
        setattr(socket_class, name, _connecting(getattr(socket_class, name)))


def _resolving(resolver: Callable[..., Any]) -> Callable[..., Any]:
    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        return resolver(PLACE if is_fals(host) else host, *args, **options)

    return resolve


def _connecting(method: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: Any, address: Any) -> Any:
        if isinstance(address, tuple) and (address[0] == PLACE or is_fals(address[0])):
            address = ("127.0.0.1", _port)
        return method(self, address)

    return connect


class LateRedirect:
    """Changes modules when they are imported: `ssl`, and libraries that resolve names or connect in C."""

    def find_spec(self, name: str, path: Any = None, _: Any = None) -> ModuleSpec | None:
        """Return the spec of such a module, with a loader that also changes it; None for other modules."""
        change = _CHANGES.get(name)
        spec = PathFinder.find_spec(name, path) if change is not None else None
        if spec is None or spec.loader is None or change is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            change(module)

        setattr(spec.loader, "exec_module", exec_module)  # noqa: B010
        return spec


def trust_emulator(module: Any) -> None:
    """Let contexts that load certificates of their own, such as those of certifi, trust the emulator as well."""
    authority, load = os.environ.get("NODE_EXTRA_CA_CERTS", ""), module.SSLContext.load_verify_locations

    def load_verify_locations(self: Any, *args: Any, **options: Any) -> None:
        load(self, *args, **options)
        if os.path.isfile(authority):
            load(self, authority)

    module.SSLContext.load_verify_locations = load_verify_locations


def redirect_aiodns(module: Any) -> None:
    """Let aiodns, which aiohttp uses if it is installed, resolve fal's names to `PLACE`."""
    find = module.DNSResolver.getaddrinfo

    def getaddrinfo(self: Any, host: Any, *args: Any, **options: Any) -> Any:
        return find(self, PLACE if is_fals(host) else host, *args, **options)

    module.DNSResolver.getaddrinfo = getaddrinfo


def redirect_uvloop(module: Any) -> None:
    """Let uvloop resolve names by `socket`, and connect to fal by sockets of Python, which are redirected."""
    loop_class = module.Loop
    create = loop_class.create_connection

    async def getaddrinfo(
        self: Any, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        return await self.run_in_executor(None, socket.getaddrinfo, host, port, family, type, proto, flags)

    async def create_connection(
        self: Any, factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        if host is None or options.get("sock") is not None:
            return await create(self, factory, host, port, **options)
        found = await self.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if found[0][4][0] != PLACE:
            return await create(self, factory, host, port, **options)
        kept = {name: value for name, value in options.items() if name.startswith(("ssl", "server_hostname"))}
        if kept.get("ssl") and kept.get("server_hostname") is None:
            kept["server_hostname"] = host
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await self.sock_connect(connection, (PLACE, port))
        except BaseException:
            connection.close()
            raise
        return await create(self, factory, sock=connection, **kept)

    loop_class.getaddrinfo = getaddrinfo
    loop_class.create_connection = create_connection


_CHANGES: dict[str, Callable[[Any], None]] = {
    "aiodns": redirect_aiodns,
    "gevent._socket3": lambda module: redirect_connections(module.socket),
    "ssl": trust_emulator,
    "uvloop": redirect_uvloop,
}


def run_the_next() -> None:
    """Run the `sitecustomize` that this one hides, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [place for place in sys.path if os.path.abspath(place or os.curdir) != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    if os.environ.get(VARIABLE):
        _first, *_domains = os.environ[VARIABLE].split()
        redirect(int(_first), _domains)
    run_the_next()
