"""The environment variable FAL_LOG: `debug`, `info` or `warning` shows the logs of the logger `fal_async`."""

from __future__ import annotations

import logging

from fal_async.errors import ConfigurationError

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def turn_on_logs(wanted: str | None) -> None:
    """Set the level of the logger, and add a handler unless the application has one. None: change nothing.

    Raises:
        ConfigurationError: `wanted` is not a known level.
    """
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
