"""Use fal in web applications. Import the module that you need: `starlette`, `fastapi` or `proxy`.

Each needs the extra of the same name (`pip install 'fal-async[fastapi]'`); the proxy is plain ASGI and needs none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed_by(module: str, package: str) -> Iterator[None]:
    """Around the import of `package`: if it fails, the ImportError names the extra to install."""
    try:
        yield
    except ImportError as missing:
        raise ImportError(
            f"fal_async.integrations.{module} needs {package}: pip install 'fal-async[{module}]'"
        ) from missing
