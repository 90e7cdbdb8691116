"""The session: the class `Session` and what it is composed of.

`facade`, `calls`, `batch_calls` and `resources` are its public methods. `view` holds one set of settings with its
resources, and `shared` what all views of a session share.
"""

from __future__ import annotations

from fal_async.session.facade import Session

__all__ = ["Session"]
