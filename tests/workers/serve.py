"""`python -m tests.workers.serve FD` serves the program of `fal_async/webhooks/README.md` on a listening socket.

Every worker of `uvicorn --workers` does this. It prints "ready" when it accepts connections.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn

from tests.documents.code_blocks import blocks_of

BLOCKS = blocks_of("fal_async/webhooks/README.md", "workers")


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def main(listening: int) -> None:
    module: dict[str, Any] = {"__name__": "pictures"}
    exec(compile(BLOCKS["workers"].program, "pictures.py", "exec"), module)
    config = uvicorn.Config(module["app"], log_level="error", access_log=False, ws="none")
    _Server(config).run(sockets=[socket.socket(fileno=listening)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
