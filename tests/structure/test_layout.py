"""Modules, functions and folders stay small, and a file name stands for one subject. The check sees the others."""

from __future__ import annotations

from pathlib import Path

import pytest

import fal_async
from tests.structure.layout import full_folders, long_functions, long_modules, names_of_two_subjects

PACKAGE = Path(fal_async.__file__).parent
ROOT = Path(__file__).parents[2]
LARGER = {"protocol": 30}
"""Folders of the package and of its tests that may have more files, with their limits."""
SUBJECTS = {
    "_aiohttp_private.py": "the private names of aiohttp that the transport, or the emulator, uses",
    "billing_events.py": "what each request cost",
    "cli_login.py": "the login of fal's own command line",
    "client.py": "what a session has under its folder's name",
    "http_over_websocket.py": "direct calls over one WebSocket",
    "options.py": "the options of one call",
    "prices.py": "what an endpoint costs",
    "proxy.py": "the proxy for fal's browser clients",
    "realtime.py": "realtime connections",
    "reconnecting.py": "a realtime connection that is lost and made again",
    "sse.py": "server-sent events",
    "usage_lines.py": "what was used and what it cost",
    "uploads.py": "the requests of an upload, on every route",
}
"""Names that several files of the package have, and the subject that these files share."""


def test_no_module_is_too_long() -> None:
    assert long_modules(PACKAGE) == []


def test_no_function_is_too_long() -> None:
    assert long_functions(PACKAGE) == []


@pytest.mark.parametrize("root", [PACKAGE, ROOT / "tests", ROOT / "benchmarks"], ids=lambda root: root.name)
def test_no_folder_has_too_many_files(root: Path) -> None:
    assert full_folders(root, more=LARGER) == []


def test_a_file_name_stands_for_one_subject() -> None:
    assert names_of_two_subjects(PACKAGE, SUBJECTS) == []


def plant(root: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


def test_a_module_over_the_limit_is_reported(tmp_path: Path) -> None:
    plant(tmp_path, {"a.py": "x = 1\n" * 300, "queue/b.py": "x = 1\n" * 301, "c.md": "x\n" * 999})
    assert long_modules(tmp_path) == ["queue/b.py: 301 lines"]


def test_docstrings_do_not_count_as_lines_of_a_module(tmp_path: Path) -> None:
    documented = (
        '"""Text.\n\nMore.\n"""\n\n\nclass A:\n    """Text."""\n\n    x = 1\n    """What x is.\n    """\n'
    )
    plant(tmp_path, {"m.py": documented + "y = 2\n" * 296, "n.py": documented + "y = 2\n" * 295})
    assert long_modules(tmp_path) == ["m.py: 301 lines"]


def function(lines: int, indent: str = "", head: str = "def f():", doc: str = "") -> str:
    body = [f"{indent}    {doc}"] * bool(doc) + [f"{indent}    x = 1"] * lines
    return "\n".join([f"{indent}{head}", *body]) + "\n"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (function(41), "m.py:1: f: 41 lines"),
        (function(41, head="async def f():", doc='"""Text."""'), "m.py:1: f: 41 lines"),
        ("class A:\n" + function(41, indent="    "), "m.py:2: f: 41 lines"),
        ("def outer():\n" + function(41, indent="    "), "m.py:2: f: 41 lines"),
        (
            function(40) + "    # a comment at the end does not count\n" + "    y = 2\n",
            "m.py:1: f: 42 lines",
        ),
        ("def f():\n    @g\n" + function(39, indent="    ", head="def h():"), "m.py:1: f: 41 lines"),
    ],
)
def test_a_function_over_the_limit_is_reported(tmp_path: Path, source: str, named: str) -> None:
    plant(tmp_path, {"m.py": source})
    assert named in long_functions(tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        function(40),
        function(40, head="def f(\n" + "".join(f"    a{number},\n" for number in range(50)) + "):"),
        function(40, doc='"""Text.' + "\n" * 60 + '    """'),
        'def f():\n    """Only a text."""\n',
    ],
)
def test_parameters_and_docstrings_do_not_count_as_lines_of_a_function(tmp_path: Path, source: str) -> None:
    plant(tmp_path, {"m.py": source})
    assert long_functions(tmp_path) == []


def test_a_folder_over_the_limit_is_reported(tmp_path: Path) -> None:
    plant(tmp_path, {f"full/{number}.json": "" for number in range(21)})
    plant(tmp_path, {f"protocol/{number}.py": "" for number in range(30)})
    plant(tmp_path, {f"protocol/within/{number}.py": "" for number in range(21)})
    plant(tmp_path, {f"right/{number}.py": "" for number in range(20)})
    plant(tmp_path, {f"right/__pycache__/{number}.pyc": "" for number in range(30)})
    assert full_folders(tmp_path, more=LARGER) == ["full: 21 files", "protocol/within: 21 files"]
    plant(tmp_path, {"protocol/README.md": ""})
    assert full_folders(tmp_path, more=LARGER)[1] == "protocol: 31 files"


def test_a_root_folder_over_the_limit_is_reported(tmp_path: Path) -> None:
    plant(tmp_path, {f"{number}.py": "" for number in range(21)})
    assert full_folders(tmp_path) == [".: 21 files"]


def test_a_file_name_of_two_subjects_is_reported(tmp_path: Path) -> None:
    plant(
        tmp_path, {"pacing.py": "", "protocol/pacing.py": "", "queue/client.py": "", "storage/client.py": ""}
    )
    plant(tmp_path, {"__init__.py": "", "queue/__init__.py": "", "README.md": "", "queue/README.md": ""})
    subjects = {"client.py": "what a session has under its folder's name"}
    assert names_of_two_subjects(tmp_path, subjects) == ["pacing.py: pacing.py, protocol/pacing.py"]


def test_a_listed_name_that_no_longer_occurs_twice_is_reported(tmp_path: Path) -> None:
    plant(tmp_path, {"queue/client.py": ""})
    subjects = {"client.py": "what a session has under its folder's name"}
    assert names_of_two_subjects(tmp_path, subjects) == ["client.py: not in several folders"]
