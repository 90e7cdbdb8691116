"""The imports of the package keep the rules, and the check reports an import that breaks one."""

from __future__ import annotations

from pathlib import Path

import pytest

import fal_async
from tests.structure.layers import cycles, edges_of, rooms, violations

ROOT = Path(fal_async.__file__).parent


def test_the_package_keeps_the_rules_of_imports() -> None:
    assert violations(edges_of(ROOT)) == []


def test_no_folder_imports_a_folder_of_a_higher_rank() -> None:
    assert cycles(rooms(edges_of(ROOT))) == []


def test_the_import_graph_has_known_imports_of_the_package() -> None:
    edges = {(edge.importer, edge.imported) for edge in edges_of(ROOT)}
    assert ("protocol.queue", "protocol.http") in edges
    assert ("session.view", "queue") in edges
    assert ("transport.exchange", "aiohttp") in edges


@pytest.mark.parametrize(
    ("file", "source", "edge"),
    [
        ("errors.py", "from fal_async.models import Result", "fal_async.errors imports fal_async.models"),
        ("checks.py", "from fal_async.models import Result", "fal_async.checks imports fal_async.models"),
        ("models.py", "import fal_async.config", "fal_async.models imports fal_async.config"),
        ("config.py", "from .protocol import http", "fal_async.config imports fal_async.protocol.http"),
        ("protocol/x.py", "import asyncio", "fal_async.protocol.x imports asyncio"),
        ("protocol/x.py", "def f():\n    from time import monotonic", "fal_async.protocol.x imports time"),
        ("protocol/x.py", "from ..session import Session", "fal_async.protocol.x imports fal_async.session"),
        ("queue.py", "import aiohttp.web", "fal_async.queue imports aiohttp.web"),
        ("queue.py", "def f():\n    from yarl import URL", "fal_async.queue imports yarl"),
        ("queue.py", "from fal_async.session import S", "fal_async.queue imports fal_async.session"),
        (
            "storage.py",
            "from fal_async import queue",
            "fal_async.storage imports fal_async.queue",
        ),
        (
            "transport/x.py",
            "import fal_async.queue",
            "fal_async.transport.x imports fal_async.queue",
        ),
        (
            "queue/x.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fal_async.session import Session",
            "fal_async.queue.x imports fal_async.session",
        ),
        ("transport/__init__.py", "import aiohttp", "fal_async.transport imports aiohttp"),
        ("session.py", "import fal_async.cli", "fal_async.session imports fal_async.cli"),
        ("session.py", "import fal_async.emulator.x", "fal_async.session imports fal_async.emulator.x"),
        ("emulator/x.py", "import fal_async.errors", "fal_async.emulator.x imports fal_async.errors"),
        (
            "emulator/jobs/x.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fal_async.emulator.core import Core",
            "fal_async.emulator.jobs.x imports fal_async.emulator.core: imports go downward only",
        ),
        (
            "emulator/x.py",
            "from fal_async.config import Hosts",
            "fal_async.emulator.x imports fal_async.config: the emulator imports Hosts lazily",
        ),
        (
            "emulator/x.py",
            "def f():\n    from fal_async.config import Settings",
            "fal_async.emulator.x imports fal_async.config",
        ),
    ],
)
def test_a_planted_import_that_breaks_a_rule_is_reported(
    tmp_path: Path, file: str, source: str, edge: str
) -> None:
    plant(tmp_path, {file: source})
    broken = violations(edges_of(tmp_path))
    assert [line for line in broken if line.startswith(edge)], broken


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("queue/client.py", "from fal_async.queue.updates import follow"),
        (
            "queue.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fal_async.transport import T",
        ),
        ("session.py", "from fal_async import queue, storage\nfrom fal_async.transport import Transport"),
        ("cli/main.py", "from fal_async import Session\nfrom fal_async.session import Session"),
        ("integrations/starlette.py", "import fal_async.session"),
        ("session/shortcuts.py", "from fal_async.session import Session"),
        ("emulator/server.py", "import aiohttp\ndef f():\n    from fal_async.config import Hosts"),
        ("emulator/gateway.py", "from fal_async.emulator.operations.mounted.call import serve"),
        ("emulator/pytest_plugin.py", "def f():\n    from fal_async.session import Session"),
    ],
)
def test_a_planted_import_that_keeps_the_rules_passes(tmp_path: Path, file: str, source: str) -> None:
    plant(tmp_path, {file: source})
    assert violations(edges_of(tmp_path)) == []


def test_a_cycle_is_reported_with_all_its_modules(tmp_path: Path) -> None:
    plant(tmp_path, {"protocol/a.py": "from .b import x", "protocol/b.py": "import fal_async.protocol.a"})
    assert violations(edges_of(tmp_path)) == ["a cycle of imports: protocol.a -> protocol.b -> protocol.a"]


def plant(root: Path, files: dict[str, str]) -> None:
    """Write a package that has the given files, and else empty modules."""
    names = ["__init__", "errors", "models", "config", "queue", "storage", "session"]
    names += ["protocol/__init__", "protocol/http", "transport/__init__", "cli/__init__", "emulator/__init__"]
    for name, source in {**{f"{name}.py": "" for name in names}, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
