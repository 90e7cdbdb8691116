"""Every relative link of a document leads to a file and a heading; the package index gets absolute links."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.code_blocks import DOCUMENTS, ROOT, without_blocks

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def links(text: str) -> Iterator[str]:
    """Yield the targets of the links outside of code blocks."""
    yield from _LINK.findall(without_blocks(text))


def slug(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    shown = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")


def broken(document: Path) -> list[str]:
    """Return the relative links of `document` that lead nowhere."""
    wrong = []
    for link in links(document.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


def anchors(document: Path) -> set[str]:
    return {
        slug(heading) for heading in _HEADING.findall(without_blocks(document.read_text(encoding="utf-8")))
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: os.path.relpath(path, ROOT))
def test_every_relative_link_of_a_document_leads_somewhere(document: Path) -> None:
    assert broken(document) == []


def test_a_link_to_a_missing_file_or_heading_is_reported(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# A `fal.map` of [it](x), 2\n\n```\n# no heading\n```\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[1](b.md) [2](b.md#a-falmap-of-it-2) [3](c.md) [4](b.md#no-heading) [5](https://fal.ai/#x) [6](#up)\n"
    )
    assert broken(page) == ["c.md", "b.md#no-heading", "#up"]


def test_the_readme_has_at_most_250_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


def test_the_package_index_gets_the_readme_with_absolute_links() -> None:
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    assert [fragment["path"] for fragment in hook["fragments"]] == ["README.md"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for rule in hook["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    source = PROJECT["project"]["urls"]["Source"]
    assert len(list(links(text))) == len(list(links((ROOT / "README.md").read_text(encoding="utf-8"))))
    for link in links(text):
        assert link.startswith("https://")
        assert "fal_async/" not in link or link.startswith(f"{source}/blob/")
