"""Stops calls of the real fal in this process, whichever library makes them, and says from which line they come.

Every library has to look up the name of fal's host, or to connect to it. Python reports both to audit hooks
(`sys.addaudithook`), in the thread that does it. In asynchronous code that is a thread of the event loop, so there
the methods of loops and of aiohttp that look up names are replaced while a guard is active.

Not seen: a call through an HTTP proxy, which looks up the name itself, and a call of fal's IP addresses.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from types import FrameType, TracebackType
from typing import Any

import attrs

from fal_async.emulator.wire.routing import is_fals

_LOOKUPS = (
    ("socket", "socket", "socket", "connect"),  # it looks up a name before its audit event
    ("asyncio", "asyncio", "BaseEventLoop", "getaddrinfo"),
    ("uvloop", "uvloop", "Loop", "getaddrinfo"),
    ("uvloop", "uvloop", "Loop", "create_connection"),
    ("aiodns", "aiohttp.resolver", "AsyncResolver", "resolve"),
)
"""Methods that get the name of a host, if a package is installed: the package; module, class, method."""
_LIBRARIES = tuple(
    {
        os.path.realpath(sysconfig.get_path(name)) + os.sep
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
    | {os.path.realpath(os.path.join(os.path.dirname(__file__), "..")) + os.sep}
)
_MOST_POSITIONS = 3


class NetworkGuardError(RuntimeError):
    """A call of the real fal was stopped before anything was sent.

    Attributes:
        host: the host that was called.
        position: the file and line of the caller's own code, as "file:line".
    """

    def __init__(self, host: str, position: str) -> None:
        super().__init__(
            f"{host} is the real fal: the call at {position} was stopped, and nothing was sent. The fixture "
            "fal_env leads a program to the emulator; a session takes hosts=emulator.hosts"
        )
        self.host: str = host
        self.position: str = position


@attrs.frozen(kw_only=True)
class BlockedCall:
    """A call of the real fal that a guard stopped.

    Attributes:
        host: the host that was called.
        position: the file and line of the caller's own code, as "file:line".
    """

    host: str
    position: str

    def __str__(self) -> str:
        return f"{self.host}, called at {self.position}"


class NetworkGuard:
    """Stop every call of a real fal host while the block `with NetworkGuard() as guard:` runs, in every thread.

    The call raises NetworkGuardError. Guards may be nested; each one lists the calls within its block.

    Attributes:
        calls: the calls that were stopped, in their order.
    """

    def __init__(self) -> None:
        self.calls: list[BlockedCall] = []

    def take(self) -> list[BlockedCall]:
        """Return the calls so far, and remove them from `calls`, so that they do not fail the test."""
        calls, self.calls = self.calls, []
        return calls

    def __enter__(self) -> NetworkGuard:
        """Begin to stop calls."""
        _State.enter(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop no more calls, unless another guard is active."""
        _State.leave(self)


class _State:
    """The active guards of this process."""

    guards: tuple[NetworkGuard, ...] = ()
    hooked = False
    lock = threading.Lock()
    replaced = ExitStack()

    @classmethod
    def enter(cls, guard: NetworkGuard) -> None:
        with cls.lock:
            if not cls.hooked:
                sys.addaudithook(_audit)  # for good: audit hooks can't be removed
                cls.hooked = True
            if not cls.guards:
                _replace_lookups(cls.replaced)
            cls.guards = (*cls.guards, guard)

    @classmethod
    def leave(cls, guard: NetworkGuard) -> None:
        with cls.lock:
            cls.guards = tuple(other for other in cls.guards if other is not guard)
            if not cls.guards:
                cls.replaced.close()


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _State.guards or not event.startswith("socket."):
        return
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _check(args[0])
    elif event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        _check(args[1][0])


def _replace_lookups(replaced: ExitStack) -> None:
    if socket.getaddrinfo.__module__ != "socket":
        return  # `emulator exec` leads fal's names to the emulator: audit events show what is really looked up
    for package, module, owner_name, name in _LOOKUPS:
        if importlib.util.find_spec(package) is not None:
            owner = getattr(importlib.import_module(module), owner_name)
            replaced.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, _checked(getattr(owner, name)))


def _checked(lookup: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method with a check of its arguments, which are a host or an address, among others.

    It is not async, even if `lookup` is: so the caller of an async method gets the error at the call.
    """

    @wraps(lookup)
    def look_up(self: Any, *args: Any, **kwargs: Any) -> Any:
        for value in (*args, kwargs.get("host")):
            _check(value[0] if isinstance(value, tuple) and value else value)
        return lookup(self, *args, **kwargs)

    return look_up


def _check(host: object) -> None:
    """Raise NetworkGuardError, and note the call, if a host is one of fal's."""
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode("ascii", "replace")
    if not isinstance(host, str) or not is_fals((name := host.rstrip(".")).lower()):
        return
    call = BlockedCall(host=name, position=_position(host))
    for guard in _State.guards:
        guard.calls.append(call)
    raise NetworkGuardError(call.host, call.position)


# The line of the caller's own code.


def _position(host: str) -> str:
    """Return where a call comes from, as "file:line": the innermost line that is not in a library.

    A library often looks up names in a task of its own. Then the line is in a task that waits: if possible, in one
    that has the host in a local variable.
    """
    task, frames = _current_task(), list(_stack(sys._getframe(2)))
    inside = [frames] if task is None else [_until(frames, _outermost(task))]
    tasks = [list(_frames_of(other)) for other in _tasks()]
    waiting = [frames for frames in tasks if any(host in _strings(frame) for frame in frames)]
    for candidates in (inside, waiting, tasks, [frames]):
        lines = {line for candidate in candidates if (line := _own_line(candidate)) is not None}
        if lines:
            return " or ".join(sorted(lines)[:_MOST_POSITIONS])
    library = next((frame for frame in frames if "site-packages" in frame.f_code.co_filename), frames[-1])
    return f"{_line(library)} (no line of your own code is on the stack)"


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _outermost(task: asyncio.Task[Any]) -> object:
    coroutine: Any = task.get_coro()
    return getattr(coroutine, "cr_frame", None)


def _until(frames: list[FrameType], last: object) -> list[FrameType]:
    """Return the frames up to the outermost one of a task; the others are below the event loop."""
    return frames[: frames.index(last) + 1] if last in frames else frames


def _own_line(frames: list[FrameType]) -> str | None:
    return next((_line(frame) for frame in frames if _is_own(frame.f_code.co_filename)), None)


def _is_own(file: str) -> bool:
    return not file.startswith("<") and not os.path.realpath(file).startswith(_LIBRARIES)


def _line(frame: FrameType) -> str:
    file = frame.f_code.co_filename
    near = os.path.relpath(file) if _is_below_here(file) else file
    return f"{near}:{frame.f_lineno}"


def _is_below_here(file: str) -> bool:
    return os.path.realpath(file).startswith(os.getcwd() + os.sep)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _tasks() -> set[asyncio.Task[Any]]:
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        return set()


def _frames_of(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """Yield the frames of a suspended task, the innermost first."""
    frames: list[FrameType] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = _first_of(awaited, "cr_frame", "ag_frame", "gi_frame")
        if frame is not None:
            frames.append(frame)
        awaited = _first_of(awaited, "cr_await", "ag_await", "gi_yieldfrom")
    return reversed(frames)


def _first_of(coroutine: object, *names: str) -> Any:
    """Return the first of these attributes that the object of a coroutine or generator has; None without one."""
    return next((found for name in names if (found := getattr(coroutine, name, None)) is not None), None)


def _strings(frame: FrameType) -> set[str]:
    return {value for value in frame.f_locals.values() if isinstance(value, str)}
