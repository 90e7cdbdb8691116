"""Citations of the wire facts, "(protocol 4.2)", name existing sections, and no error message contains one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[1]
FACTS = ROOT / "fal_async" / "protocol" / "README.md"
_PLACES = ("fal_async", "tests", "benchmarks", ".github", "README.md", "CHANGELOG.md")
_SUFFIXES = (".py", ".md", ".json")  # JSON samples cite the section that they belong to

_QUESTIONS = "14"  # the section whose table rows are cited by number
_HEADING = re.compile(r"^#{2,3} (?P<number>\d+(?:\.\d+)*)\.? ", re.M)
_ITEM = re.compile(r"^\| (\d+) \|", re.M)

# A citation may continue on the next line, after a comment's mark.
_GAP = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:#[ \t]*)?)"
_SECTION = r"(?P<section>\d+(?:\.\d+)*)"
_FIRST = re.compile(rf"\bprotocol{_GAP}{_SECTION}", re.I)
_JOINT = rf"(?:[,;]{_GAP}|{_GAP}(?:and|or|to){_GAP})"
# "no. 9" is an item of the section before it, "B" one of its upload routes.
_NEXT = re.compile(rf"{_JOINT}{_SECTION}|(?:{_JOINT}|{_GAP})(?:no\.{_GAP}(?P<item>\d+)|[A-C]\b)")


@attrs.frozen
class Citation:
    line: int
    section: str
    item: str = ""

    def __str__(self) -> str:
        return f"{self.section}, no. {self.item}" if self.item else self.section


@attrs.frozen
class Facts:
    """The sections and numbered items that can be cited."""

    sections: frozenset[str]
    items: frozenset[str]

    @classmethod
    def read(cls, text: str) -> Facts:
        headings = list(_HEADING.finditer(text))
        items: set[str] = set()
        for number, heading in enumerate(headings):
            if heading["number"] == _QUESTIONS:
                end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
                items = set(_ITEM.findall(text, heading.end(), end))
        return cls(frozenset(heading["number"] for heading in headings), frozenset(items))

    def have(self, citation: Citation) -> bool:
        if citation.item and (citation.section != _QUESTIONS or citation.item not in self.items):
            return False
        return citation.section in self.sections


def citations(text: str) -> Iterator[Citation]:
    """Yield all citations of `text`, one for each number of a list."""
    for first in _FIRST.finditer(text):
        match: re.Match[str] | None = first
        section = ""
        while match:
            section = match["section"] or section
            item = match["item"] if match.re is _NEXT else None
            if match["section"] or item:
                yield Citation(text.count("\n", 0, match.end()) + 1, section, item or "")
            match = _NEXT.match(text, match.end())


def wrong_citations(name: str, text: str, facts: Facts) -> list[str]:
    return [
        f"{name}:{citation.line}: there is no {PROTOCOL} {citation}"
        for citation in citations(text)
        if not facts.have(citation)
    ]


def shown_citations(name: str, source: str) -> list[str]:
    """Return the citations in strings that a user may see: all strings but docstrings and bare strings."""
    tree = ast.parse(source)
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        f"{name}:{node.lineno}: a string cites {PROTOCOL} {citation}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare
        for citation in citations(node.value)
    ]


def files() -> Iterator[Path]:
    for place in _PLACES:
        path = ROOT / place
        found = path.rglob("*") if path.is_dir() else [path]
        yield from sorted(file for file in found if file.suffix in _SUFFIXES and file.is_file())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_citation_of_the_protocol_names_an_existing_section() -> None:
    facts = Facts.read(FACTS.read_text(encoding="utf-8"))
    wrong = [
        line
        for path in files()
        for line in wrong_citations(name_of(path), path.read_text(encoding="utf-8"), facts)
    ]
    assert wrong == []


def test_no_user_visible_string_cites_a_protocol_section() -> None:
    shown = [
        line
        for path in sorted((ROOT / "fal_async").rglob("*.py"))
        for line in shown_citations(name_of(path), path.read_text(encoding="utf-8"))
    ]
    assert shown == []


def test_all_kinds_of_files_are_searched_for_citations() -> None:
    found = {name_of(path) for path in files()}
    assert found >= {
        "README.md",
        "CHANGELOG.md",
        "fal_async/protocol/queue.py",
        "tests/samples/cancel/removed.json",
    }
    assert len(list(citations((ROOT / "fal_async/protocol/queue.py").read_text(encoding="utf-8")))) > 5


def test_each_section_number_of_the_protocol_is_used_once() -> None:
    text = FACTS.read_text(encoding="utf-8")
    numbers = [heading["number"] for heading in _HEADING.finditer(text)]
    assert len(numbers) == len(set(numbers))
    assert Facts.read(text).items == {str(number) for number in range(1, len(Facts.read(text).items) + 1)}


# The samples contain wrong citations. The word is apart from its numbers, because this file is checked, too.
PROTOCOL = "protocol"
SAMPLE = Facts.read(
    "## 4. Queue\n\n### 4.1 Submit\n\n### 4.2 Status\n\n| 7 | a field |\n\n"
    "## 7. Storage\n\n### 7.1 Routes\n\n## 14. Questions\n\n| No. | |\n|---|---|\n| 1 | a |\n| 9 | b |\n\n"
    "## 15. More\n\n| 3 | c |\n"
)


@pytest.mark.parametrize(
    "cited",
    [
        "4",
        "4.1, 4.2",
        "4.1; 14, no. 1",
        "4.1, 14 no. 9",
        "14, no. 1 and no. 9",
        "14, no. 1, 4.2",
        "4.1 to 4.2",
        "7.1 B, C",
        "7.1 B, 4.2",
        "4.2: 99 of them",
        "4.2, the 99th",
        "4.2. 99 of them",
        "4.1,\n    # 4.2",
    ],
)
def test_a_citation_of_existing_sections_is_accepted(cited: str) -> None:
    assert wrong_citations("x.py", f"({PROTOCOL} {cited})", SAMPLE) == []


@pytest.mark.parametrize(
    ("cited", "wrong"),
    [
        ("5", "5"),
        ("4.3", "4.3"),
        ("4.2.1", "4.2.1"),
        ("4.1, 4.3", "4.3"),
        ("4.1; 5", "5"),
        ("4.1 to 4.9", "4.9"),
        ("4.1 and 4.9", "4.9"),
        ("7.1 B, C; 7.2", "7.2"),
        ("14, no. 2", "14, no. 2"),
        ("14 no. 2", "14, no. 2"),
        ("14, no. 1 and no. 3", "14, no. 3"),
        ("4.1; 14, no. 7", "14, no. 7"),
        ("14, no. 1, 4.3", "4.3"),
        ("4.2, no. 1", "4.2, no. 1"),
    ],
)
def test_a_citation_of_a_missing_section_is_reported(cited: str, wrong: str) -> None:
    text = f"first\n({PROTOCOL} {cited})\n"
    assert wrong_citations("x.py", text, SAMPLE) == [f"x.py:2: there is no {PROTOCOL} {wrong}"]


@pytest.mark.parametrize("gap", ["\n", "\n    # ", "\n    "])
def test_a_citation_that_breaks_over_lines_is_found(gap: str) -> None:
    assert wrong_citations("x.py", f'"""{PROTOCOL.title()}{gap}4.3"""', SAMPLE) == [
        f"x.py:2: there is no {PROTOCOL} 4.3"
    ]


@pytest.mark.parametrize(
    "source",
    [
        'raise ValueError("too small (protocol {})")',
        'raise ValueError(f"{{value}}: too small (protocol {})")',
        'raise ValueError("too small "\n  "(protocol {})")',
        'def f(hint="protocol {}"): pass',
    ],
)
def test_a_citation_in_a_user_visible_string_is_reported(source: str) -> None:
    (line,) = shown_citations("x.py", source.format("4.1"))
    assert line == f"x.py:1: a string cites {PROTOCOL} 4.1"


@pytest.mark.parametrize(
    "source",
    [
        '"""(protocol {})"""',
        'class A:\n    """(protocol {})"""\n    x = 1\n    """(protocol {})"""',
        'async def f():\n    """(protocol {})"""\n    return "answered"  # protocol {}',
    ],
)
def test_a_citation_in_a_docstring_or_comment_is_accepted(source: str) -> None:
    assert shown_citations("x.py", source.replace("{}", "4.1")) == []
