"""Use fal in web applications. Import the module that you need: `starlette`, `fastapi` or `proxy`.

`starlette` and `fastapi` need the extra of the same name (`pip install 'fal-async[fastapi]'`). The proxy is plain
ASGI and needs no extra.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed_by(module: str, package: str) -> Iterator[None]:
    """Import `package` in the block. If the import fails, the ImportError names the extra to install."""
    try:
        yield
    except ImportError as missing:
        raise ImportError(
            f"fal_async.integrations.{module} needs {package}: pip install 'fal-async[{module}]'"
        ) from missing
