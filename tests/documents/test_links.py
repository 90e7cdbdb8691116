"""Each relative link of a document leads to a file that exists and, behind a `#`, to a heading of that file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.code_blocks import DOCUMENTS, ROOT

_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.M)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a text."""
    found: list[str] = []
    numbered: set[str] = set()
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        plain = re.sub(r"\]\([^)]*\)", "", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(anchor)
        again = found.count(anchor) - 1
        numbered.add(f"{anchor}-{again}" if again else anchor)
    return numbered


def dead_links(document: Path) -> Iterator[str]:
    text = document.read_text(encoding="utf-8")
    for path, anchor in _LINK.findall(_FENCED.sub("", text)):
        target = document.parent / path if path else document
        if not target.exists():
            yield f"{path}: does not exist"
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield f"{path}#{anchor}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_document_leads_to_something(document: Path) -> None:
    assert list(dead_links(document)) == []


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("[a](other.md)", []),
        ("[a](other.md#a-heading-with-code) and [b](#own) and [c](https://fal.ai/no#where)", []),
        ("[a](nowhere.md)", ["nowhere.md: does not exist"]),
        ("[a](other.md#nowhere)", ["other.md#nowhere: no such heading"]),
        ("[a](#nowhere)", ["#nowhere: no such heading"]),
        ("```md\n[a](nowhere.md)\n```", []),
    ],
)
def test_a_link_that_leads_to_nothing_is_named(tmp_path: Path, link: str, told: list[str]) -> None:
    (tmp_path / "other.md").write_text("# A heading, with `code`\n")
    (tmp_path / "document.md").write_text(f"## Own\n\n{link}\n")
    assert list(dead_links(tmp_path / "document.md")) == told
