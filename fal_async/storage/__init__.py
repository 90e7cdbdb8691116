"""Storage: files to fal and from fal (protocol 7, 11.2).

`client.py` is `session.storage`. Uploads: `sources.py` opens every kind of file as a `Source`, `upload.py` sends
it, `file_body.py` reads it piece by piece, `resume_store.py` keeps the progress across crashes. Downloads:
`download.py`. Both: `cdn.py` fetches the CDN token, `threads.py` runs disk work, `concurrency.py` bounds how many
tasks run at a time. `data_uri.py` is separate: small files inside the input. `Storage` is loaded on first use, so
that importing `data_uri.py` does not import the rest.
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
