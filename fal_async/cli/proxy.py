"""Run a proxy for fal's browser clients: it adds your key, and forwards only allowed requests.

It needs pip install 'fal-async[proxy]'. Your API key and the hosts come from the environment (FAL_KEY,
FAL_BASE_URL). Set FAL_PROXY_TOKEN to a secret, which callers must send as "Authorization: Bearer TOKEN". With
--anonymous everybody may call. Run the proxy behind a server that adds TLS.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket

from fal_async.cli import listening
from fal_async.cli.argument_types import add_json
from fal_async.cli.messages import fail
from fal_async.errors import ConfigurationError
from fal_async.protocol.proxy.rules import DEFAULT_MAX_PROXIED_BODY, ON_REQUEST

DEFAULT_PORT = 8766
_SHUTDOWN_LIMIT = 5
"""Seconds for which open streams may continue after the proxy was stopped."""


EXAMPLES = ("FAL_PROXY_TOKEN=secret fal-async proxy --endpoint 'fal-ai/flux/**'",)


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
        help="endpoints that may be called, such as 'fal-ai/flux/dev', 'fal-ai/flux/**' or '**'; may be repeated",
    )
    add("--anonymous", action="store_true", help="let everybody call, without a token and at your cost")
    add(
        "--allow",
        action="append",
        default=[],
        choices=sorted(ON_REQUEST),
        help="allow a further route; may be repeated",
    )
    add(
        "--max-body",
        type=int,
        default=DEFAULT_MAX_PROXIED_BODY,
        metavar="BYTES",
        help=f"largest request body {default}",
    )
    add_json(parser, "print the address as one JSON document")


def run(options: argparse.Namespace) -> int:
    try:
        import uvicorn
    except ImportError:
        return fail("proxy", "needs uvicorn: pip install 'fal-async[proxy]'")
    # Imported late: these take a quarter of a second to load, and --help does not need them.
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
    url = _url(options.host, listener)
    print(json.dumps({"url": url}) if options.json else f"fal proxy at {url}; Ctrl-C stops it", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_SHUTDOWN_LIMIT)
    )
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens, before the address is printed. Raises OSError if it can't listen."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
