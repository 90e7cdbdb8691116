"""Storage: upload and download files, and manage access to them (protocol 7, 11.2).

`client.py` is `session.storage`. For an upload, `sources.py` opens every kind of file as a `Source`, `upload.py`
sends it, `file_body.py` reads it piece by piece, and `resume_store.py` records which parts were sent.
`download.py` downloads one file, `output_download.py` all files of an output, into files of `incoming.py` and
`unnamed_files.py`, which get their names when they are complete. Uploads and downloads share `cdn.py`, which
fetches the CDN token, `threads.py`, which runs disk work, and `concurrency.py`, which limits how many tasks run at
the same time. `data_uri.py` encodes small files for use inside an input. `Storage` is loaded on first use, so that
importing `data_uri.py` does not import the rest.

Citations such as (protocol 7.4) are sections of `fal_async/protocol/README.md`.
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
