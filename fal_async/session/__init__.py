"""The session: `facade` and `calls` are its face, `view` one set of settings, `shared` what all views share."""

from __future__ import annotations

from fal_async.session.facade import Session

__all__ = ["Session"]
