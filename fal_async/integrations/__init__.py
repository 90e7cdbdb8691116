"""fal inside web applications. Import the file that you need: `starlette`, `fastapi`, `proxy`.

Each needs the extra of its name (`pip install 'fal-async[fastapi]'`); the proxy is plain ASGI and needs none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed_by(module: str, package: str) -> Iterator[None]:
    """Around the import of `package`: where it fails, the ImportError names the extra of the module's name."""
    try:
        yield
    except ImportError as missing:
        raise ImportError(
            f"fal_async.integrations.{module} needs {package}: pip install 'fal-async[{module}]'"
        ) from missing
