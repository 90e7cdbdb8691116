"""The session: `facade`, `calls` and `resources` are its face, `view` is one set of settings, `shared` what all
views share."""

from __future__ import annotations

from fal_async.session.facade import Session

__all__ = ["Session"]
