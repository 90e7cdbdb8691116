"""What this machine and this installation have: versions, extras, the event loop, open files."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator, Sequence

from fal_async.cli.doctor.finding import Finding, Topic
from fal_async.version import __version__

VERSIONS, EXTRAS, MACHINE = Topic("versions"), Topic("extras"), Topic("machine")
DISTRIBUTION = "fal-async"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_NEEDED = ("aiohttp", "attrs", "cattrs", "backoff")
_FEW_FILES = 1024
"""The usual soft limit of open files."""


def version_findings() -> Iterator[Finding]:
    """Yield the versions of the package, Python, the operating system and the packages that it needs."""
    yield VERSIONS.ok("fal_async", __version__)
    yield VERSIONS.ok("Python", f"{platform.python_version()} ({platform.python_implementation()})")
    yield VERSIONS.ok("system", platform.platform())
    least = {name: bounds for name, bounds, extra in _requirements() if extra is None}
    for name in _NEEDED:
        yield _version(name, least.get(name, ""))


def _version(name: str, bounds: str) -> Finding:
    found = _installed(name)
    install = f"pip install --upgrade {DISTRIBUTION}"
    if found is None:
        return VERSIONS.problem(name, "not installed", install)
    least = re.search(r">=\s*([\d.]+)", bounds)
    if least and _numbers(found) < _numbers(least[1]):
        return VERSIONS.problem(name, f"{found}: expected {least[1]} or newer", install)
    return VERSIONS.ok(name, found)


def extra_findings() -> Iterator[Finding]:
    """Yield each extra of the installed package, and which of its packages are installed."""
    extras: dict[str, list[str]] = {}
    for name, _, extra in _requirements():
        if extra not in (None, "all") and name != DISTRIBUTION:
            extras.setdefault(str(extra), []).append(name)
    if not extras:
        yield EXTRAS.ok("extras", f"unknown: {DISTRIBUTION} runs from a folder and is not installed by pip")
    for extra, names in sorted(extras.items()):
        yield _extra(extra, names)


def _extra(extra: str, names: Sequence[str]) -> Finding:
    versions = {name: _installed(name) for name in names}
    missing = [name for name, version in versions.items() if version is None]
    if not missing:
        found = ", ".join(f"{name} {version}" for name, version in versions.items())
        return EXTRAS.ok(extra, found, installed=True, versions=versions)
    install = f"pip install '{DISTRIBUTION}[{extra}]' adds {', '.join(missing)}"
    return EXTRAS.ok(extra, f"not installed: {install}", installed=False, versions=versions)


def machine_findings() -> Iterator[Finding]:
    """Yield the findings about the event loop and the limit of open files. Needs a running event loop."""
    yield MACHINE.ok("event loop", _name_of(asyncio.get_running_loop()))
    if sys.version_info < (3, 14):  # later versions deprecate policies
        yield MACHINE.ok("policy", _name_of(asyncio.get_event_loop_policy()))
    yield _open_files()


def _name_of(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _open_files() -> Finding:
    try:
        import resource
    except ImportError:
        return MACHINE.ok("open files", "this system has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MACHINE.ok("open files", "no limit")
    highest = None if hard == resource.RLIM_INFINITY else hard
    text = (
        f"limit {soft}, can be raised to {highest or 'any number'}; a session uses four fifths, up to 1,000"
    )
    facts = {"soft": soft, "hard": highest}
    if soft < _FEW_FILES:
        return MACHINE.warning(
            "open files", text, "ulimit -n 8192 in the shell, or LimitNOFILE= of the service", **facts
        )
    return MACHINE.ok("open files", text, **facts)


def _requirements() -> Iterator[tuple[str, str, str | None]]:
    """Yield name, version bounds and extra of each requirement of the installed package."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in lines:
        found = _REQUIREMENT.match(line)
        if found:
            extra = _EXTRA.search(found[3] or "")
            yield found[1].lower(), found[2].strip(), extra[1] if extra else None


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
