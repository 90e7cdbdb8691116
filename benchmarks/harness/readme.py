"""Put the tables into README.md, between the marks that name them; the rest is not changed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.harness.tables import TABLES, where
from benchmarks.harness.targets import targets

_SECTION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rewrite(page: Path, results: Path) -> None:
    data = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    text = _SECTION.sub(lambda match: match[1] + _section(match[2], data) + match[3], page.read_text())
    page.write_text(text)


def _section(name: str, data: dict[str, Any]) -> str:
    if name == "targets":
        return f"{targets(data)}\n"
    if name not in data:
        return "Not measured yet.\n"
    return f"{TABLES[name](data[name])}\n\nTaken {where(data[name])}\n"
