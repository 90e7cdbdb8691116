"""The error of a question that could not be asked."""

from __future__ import annotations


class NotSeenError(Exception):
    """Raised if a question could not be asked; the message says why."""
