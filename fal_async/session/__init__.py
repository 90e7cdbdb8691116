"""The session: the class `Session` and what it is composed of.

`facade`, `calls`, `batch_calls` and `resources` have its public methods. `view` has one set of settings with its
resources, and `shared` has what all views of a session share.
"""

from __future__ import annotations

from fal_async.session.facade import Session

__all__ = ["Session"]
