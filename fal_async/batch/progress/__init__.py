"""The display of `progress=True`: live in a terminal or a notebook, elsewhere a line every few seconds.

A timer of the event loop reads the batch's summary, without a thread or task. If drawing fails, the display is
switched off, and the batch continues.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from typing import TextIO, cast

from fal_async.batch.display import Display, Summarized
from fal_async.batch.progress.faces import Face
from fal_async.batch.progress.rich_display import face_for
from fal_async.errors import ConfigurationError

_logger = logging.getLogger("fal_async.batch")


class ProgressDisplay:
    """Shows one batch on standard error, or on `out`. It is a `fal_async.batch.display.Display`."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._face: Face | None = None
        # Weak, because the timer must not keep a batch in memory to which the program has no reference any more.
        self._batch: weakref.ref[Summarized] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._changed = False

    def start(self, batch: Summarized) -> None:
        out = sys.stderr if self._out is None else self._out
        if out is None or out.closed:  # sys.stderr is None in a program without a console
            return
        self._batch = weakref.ref(batch)
        try:
            self._face = face_for(out)
        except Exception as error:
            self._give_up(error)
        self._wait()

    def changed(self) -> None:
        self._changed = True

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._draw(over=True)
        self._close()

    def _wait(self) -> None:
        if self._face is not None:
            self._timer = asyncio.get_running_loop().call_later(self._face.every, self._tick)

    def _tick(self) -> None:
        self._draw(over=False)
        self._wait()

    def _draw(self, *, over: bool) -> None:
        face, batch = self._face, None if self._batch is None else self._batch()
        if batch is None:
            self._close()
        elif face is not None:
            try:
                if over:
                    face.end(batch.endpoint_id, batch.summary)
                else:
                    face.show(batch.endpoint_id, batch.summary, changed=self._changed)
            except (
                Exception
            ) as error:  # for example, the terminal was closed, or its encoding lacks a character
                self._give_up(error)
        self._changed = False

    def _give_up(self, error: Exception) -> None:
        _logger.debug("the progress display failed and is switched off: %s", type(error).__name__)
        self._close()

    def _close(self) -> None:
        face, self._face = self._face, None
        if face is not None:
            try:
                face.close()
            except Exception as error:
                _logger.debug("the progress display could not be closed: %s", type(error).__name__)


def display_of(progress: object) -> Display | None:
    """Return the display for `progress=` of `fal.map`; None for False.

    Raises ConfigurationError if `progress` is neither a bool nor a display.
    """
    if progress is True or progress is False:
        return ProgressDisplay() if progress else None
    if not all(callable(getattr(progress, name, None)) for name in ("start", "changed", "end")):
        raise ConfigurationError(
            f"progress is of type {type(progress).__name__}: expected True, False, or a display with the methods "
            "start, changed and end"
        )
    return cast("Display", progress)
