"""Runs a program beside an emulator: passes signals and the exit status on; the streams are the program's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from fal_async.emulator.defaults import DEFAULT_HOST
from fal_async.emulator.execution.program_environment import environment, upstream_of
from fal_async.emulator.execution.tunnel import Tunnel
from fal_async.emulator.server import Emulator
from fal_async.emulator.serving.certificates import Certificates, certificates_in
from fal_async.emulator.serving.kept_state import kept_state

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit statuses of a shell for a command that does not exist, or that can't be executed."""
_PASSED_ON = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGQUIT")
_OF_THE_TERMINAL = ("SIGINT", "SIGQUIT")


class ProgramError(Exception):
    """The program can't be started.

    Args:
        status: the exit status that a shell has in this case.
        message: the reason.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def execute(
    command: Sequence[str],
    make: Callable[[Certificates], Emulator],
    *,
    folder: Path | None,
    proxied: bool,
    state: Path | None = None,
    started: Callable[[Emulator, Certificates], None],
) -> int:
    """Start an emulator, run a program until it ends, and stop the emulator.

    Args:
        command: the program and its arguments.
        make: function that returns the emulator, with the TLS context of these certificates.
        folder: folder in which the certificates are made, and used again. None: a temporary one.
        proxied: whether programs that read HTTPS_PROXY reach the emulator, too.
        state: folder to which the emulator's state is saved at the end. None (default): it is not saved.
        started: function that is called when the emulator has started.

    Returns:
        The program's exit status; 128 and the signal's number if a signal has ended it.

    Raises:
        ProgramError: If the program can't be started.
        ModuleNotFoundError: If the package cryptography is missing.
        OSError: If the port is in use, or a file can't be written.
        ValueError: If the user's own proxy can't be used with `proxied`, or the state can't be saved.
    """
    # First of all, so that no signal ends this process while there are temporary files.
    with _Signals() as signals, tempfile.TemporaryDirectory(prefix="fal-emulator-exec-") as temporary:
        own = Path(temporary)
        certificates = certificates_in(own if folder is None else folder, DEFAULT_HOST, os.environ)
        async with contextlib.AsyncExitStack() as stack:
            emulator = await stack.enter_async_context(make(certificates))
            await stack.enter_async_context(kept_state(emulator, state))
            proxy = None
            if proxied:
                tunnel = Tunnel(int(emulator.url.rpartition(":")[2]), upstream_of(os.environ))
                proxy = await stack.enter_async_context(tunnel)
            started(emulator, certificates)
            variables = environment(
                os.environ,
                url=emulator.url,
                key=emulator.key,
                certificates=certificates,
                folder=own,
                proxy=proxy,
            )
            return await _run(command, variables, signals)


async def _run(command: Sequence[str], variables: dict[str, str], signals: _Signals) -> int:
    if signals.early is not None:
        return 128 + signals.early
    try:
        program = await asyncio.create_subprocess_exec(*command, env=variables)
    except FileNotFoundError:
        raise ProgramError(NOT_FOUND, f"{command[0]}: command not found") from None
    except OSError as error:
        raise ProgramError(NOT_EXECUTABLE, f"{command[0]}: {error.strerror or error}") from None
    signals.start(program)
    status = await program.wait()
    return status if status >= 0 else 128 - status


class _Signals:
    """Passes signals on to the program. This process ends when the program does, which may still call fal."""

    def __init__(self) -> None:
        self.early: int | None = None
        """The signal that arrived before the program was started."""
        self._program: asyncio.subprocess.Process | None = None
        self._handled: list[int] = []

    def __enter__(self) -> _Signals:
        for name in _PASSED_ON:
            number = getattr(signal, name, None)
            with contextlib.suppress(NotImplementedError):  # Windows, where Ctrl-C reaches the program anyway
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    asyncio.get_running_loop().add_signal_handler(number, self._arrived, number)
                    self._handled.append(number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._handled:
            asyncio.get_running_loop().remove_signal_handler(number)

    def start(self, program: asyncio.subprocess.Process) -> None:
        self._program = program
        if self.early is not None:
            program.send_signal(self.early)

    def _arrived(self, number: signal.Signals) -> None:
        if self._program is None:
            self.early = number
        # The terminal has sent it to the program, too. A second one might interrupt what the program does then.
        elif number.name not in _OF_THE_TERMINAL or not _has_terminal():
            with contextlib.suppress(ProcessLookupError):
                self._program.send_signal(number)


def _has_terminal() -> bool:
    """Return whether Ctrl-C in a terminal reaches this process and the program."""
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return os.tcgetpgrp(stream.fileno()) == os.getpgrp()  # type: ignore[union-attr]
    return False
