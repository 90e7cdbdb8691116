"""`FAL_LOG=debug` or `FAL_LOG=info`: readable logs on the logger `fal_async`, for who asks for them."""

from __future__ import annotations

import logging

from fal_async.errors import ConfigurationError

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def turn_on_logs(wanted: str | None) -> None:
    """Once, and never beside the application's own handlers. ConfigurationError for another word."""
    if wanted is None:
        return
    level = _LEVELS.get(wanted.strip().lower())
    if level is None:
        raise ConfigurationError(f"FAL_LOG={wanted!r}: expected one of {', '.join(_LEVELS)}")
    logger = logging.getLogger("fal_async")
    logger.setLevel(level)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
