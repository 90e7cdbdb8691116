"""The session: `facade` is what people call, `view` one set of settings, `shared` what all views have in common."""

from __future__ import annotations

from fal_async.session.facade import Session

__all__ = ["Session"]
