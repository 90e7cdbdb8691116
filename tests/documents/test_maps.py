"""Each path and definition that a map for maintainers names exists; the spine is the order of the imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.code_blocks import without_blocks
from tests.structure.layers import edges_of

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fal_async"
MAP = PACKAGE / "README.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
MAPS = (MAP, CONTRIBUTING)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^):\s]+)\)")
# A folder ends with a slash, a file with one of the suffixes that files have here.
_PATH = re.compile(r"(?P<path>[\w.][\w./-]*(?:/|\.(?:py|md|toml|ya?ml|json)))(?:: (?P<name>[\w.]+))?")


def named(text: str) -> Iterator[tuple[str, str | None]]:
    """The paths of code spans and links, with the definition that is named behind a colon."""
    prose = without_blocks(text)
    for place in (*_SPAN.findall(prose), *_LINK.findall(prose)):
        if match := _PATH.fullmatch(place):
            yield match["path"], match["name"]


def wrong_places(text: str, *folders: Path) -> list[str]:
    """What is named and is not there. Paths are relative to one of `folders`."""
    wrong = []
    for path, name in named(text):
        found = [place for folder in folders if _is_there(place := folder / path, path)]
        if not found:
            wrong.append(path)
        elif name is not None and name not in definitions(found[0].read_text(encoding="utf-8")):
            wrong.append(f"{path}: {name}")
    return wrong


def _is_there(place: Path, path: str) -> bool:
    return place.is_dir() if path.endswith("/") else place.is_file()


def definitions(source: str) -> set[str]:
    """Functions, classes and variables of a module, and those of its classes as `Class.name`."""
    return set(_defined(ast.parse(source).body, ""))


def _defined(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.ClassDef(name=name, body=inner):
                yield prefix + name
                yield from _defined(inner, f"{prefix}{name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The rows of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("document", MAPS, ids=lambda path: path.name)
def test_every_path_and_name_in_a_map_exists(document: Path) -> None:
    folders = (PACKAGE, ROOT) if document == MAP else (ROOT,)
    text = document.read_text(encoding="utf-8")
    assert wrong_places(text, *folders) == []
    assert len(list(named(text))) > 20


def test_every_question_is_answered_by_a_place() -> None:
    questions = rows(section(MAP.read_text(encoding="utf-8"), "Where do I find"))
    assert len(questions) >= 20
    assert [question for question, answer in questions if not list(named(answer))] == []


def test_the_glossary_is_short_and_has_each_word_once() -> None:
    words = [word for word, _ in rows(section(MAP.read_text(encoding="utf-8"), "Glossary"))]
    assert len(words) <= 20
    assert len(words) == len(set(words))


def test_the_spine_names_everything_once_and_imports_go_up_the_table() -> None:
    spine = [
        list(named(places)) for _, places, _ in rows(section(MAP.read_text(encoding="utf-8"), "The spine"))
    ]
    rank_of = {
        path.rstrip("/").removesuffix(".py"): rank for rank, places in enumerate(spine) for path, _ in places
    }
    there = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rank_of.keys() == there
    assert sum(len(places) for places in spine) == len(there)
    upward = [
        str(edge)
        for edge in edges_of(PACKAGE)
        # An edge of the package may use the public names, which the package itself gives out.
        if edge.own and edge.imported and rank_of[_top(edge.importer)] < rank_of[_top(edge.imported)]
    ]
    assert upward == []


def _top(module: str) -> str:
    return module.partition(".")[0] or "__init__"


# Planted: the checks notice what is wrong.


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`config.py`, `config.py: Hosts`, `config.py: Hosts.local`, `queue/`, `fal_async/queue/`", []),
        (
            "`__init__.py: _HOMES` and [this](queue/client.py), [that](https://fal.ai/no.md), `fal-ai/flux/dev`",
            [],
        ),
        ("```console\n$ cat no.py\n```", []),
        ("see `nowhere.py`", ["nowhere.py"]),
        ("see `queue/nowhere.py: Queue`", ["queue/nowhere.py"]),
        ("`.github/no.yml`, [no](no.md)", [".github/no.yml", "no.md"]),
        ("`queue.py`, `config.py/`", ["queue.py", "config.py/"]),
        ("`config.py: Host`", ["config.py: Host"]),
        ("`config.py: Hosts.nowhere`", ["config.py: Hosts.nowhere"]),
        ("`config.py: attrs`", ["config.py: attrs"]),
    ],
)
def test_a_place_that_does_not_exist_is_named(text: str, wrong: list[str]) -> None:
    assert wrong_places(text, PACKAGE, ROOT) == wrong
