"""Storage: files to fal and from fal (protocol 7, 11.2).

`client.py` is `session.storage`. Up: `sources.py` makes every kind of file one kind of value, `upload.py` sends it,
`file_body.py` reads it piece by piece, `resume.py` keeps what it takes to go on after a crash. Down: `download.py`.
For both: `cdn.py` has the token, `threads.py` the disk work, `concurrency.py` the work side by side.
`data_uri.py` stands alone: small files inside the input. So `Storage` is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fal_async.storage.client import Storage

__all__ = ["Storage"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fal_async.storage.client import Storage

    return Storage
