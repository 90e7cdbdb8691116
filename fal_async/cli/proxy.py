"""Run a proxy for fal's browser clients: it keeps the key, and passes on only what is allowed.

Needs pip install 'fal-async[proxy]'. The key and the hosts come from the environment (FAL_KEY, FAL_BASE_URL).
Callers must send the token in the environment variable FAL_PROXY_TOKEN as "Authorization: Bearer TOKEN";
--anonymous lets everybody in. Put it behind TLS.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket

from fal_async.cli import fail, listening
from fal_async.errors import ConfigurationError
from fal_async.protocol.proxy.rules import DEFAULT_MAX_PROXIED_BODY, ON_REQUEST

DEFAULT_PORT = 8766
_SHUTDOWN_LIMIT = 5
"""Seconds that open streams get when it is stopped."""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    default = "(default: %(default)s)"
    add("--host", default="127.0.0.1", help=f"address to listen on {default}")
    add(
        "--port",
        type=listening.port,
        default=DEFAULT_PORT,
        help=f"port to listen on, 0 for a free one {default}",
    )
    add(
        "--endpoint",
        action="append",
        required=True,
        metavar="PATTERN",
        dest="endpoints",
        help="endpoints that may be called, such as 'fal-ai/flux/dev', 'fal-ai/flux/**' or '**'; repeatable",
    )
    add("--anonymous", action="store_true", help="everybody may call, at your cost")
    add(
        "--allow",
        action="append",
        default=[],
        choices=sorted(ON_REQUEST),
        help="a further route; repeatable",
    )
    add(
        "--max-body",
        type=int,
        default=DEFAULT_MAX_PROXIED_BODY,
        metavar="BYTES",
        help=f"of a request {default}",
    )


def run(options: argparse.Namespace) -> int:
    try:
        import uvicorn
    except ImportError:
        return fail("proxy", "it runs on uvicorn: pip install 'fal-async[proxy]'")
    # Not for --help: these take a quarter of a second to load.
    from fal_async.cli.key_check import check_key
    from fal_async.cli.proxy_app import TOKEN_VARIABLE, make_app

    try:
        check_key()
        app = make_app(options, os.environ.get(TOKEN_VARIABLE, ""))
        listener = _listener(options.host, options.port)
    except ConfigurationError as error:
        return fail("proxy", error.message)
    except OSError as error:
        return fail("proxy", listening.explained(error, options.host, options.port))
    print(f"fal proxy at {_url(options.host, listener)}; Ctrl-C stops it", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_SHUTDOWN_LIMIT)
    )
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _listener(host: str, port: int) -> socket.socket:
    """Bound before it is announced. OSError where it can't be."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
